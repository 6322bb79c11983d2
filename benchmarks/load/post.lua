-- wrk script: POSTs the request bodies of a folder, one after another, and prints one JSON line.
-- Arguments after "--": the folder. It holds `list` (a line "STEM PATH" each), STEM.body and STEM.headers
-- ("Name: value" lines). Connections of one thread share the cycle.

local requests = {}
local at = 0

local function read(path)
  local file = assert(io.open(path, "rb"))
  local content = file:read("*a")
  file:close()
  return content
end

function init(args)
  local folder = args[1]
  for line in io.lines(folder .. "/list") do
    local stem, path = line:match("^(%S+) (%S+)$")
    local headers = {}
    for line in io.lines(folder .. "/" .. stem .. ".headers") do
      local name, value = line:match("^([^:]+): (.*)$")
      headers[name] = value
    end
    local body = read(folder .. "/" .. stem .. ".body")
    requests[#requests + 1] = wrk.format("POST", path, headers, body)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"requests":%d,"duration_s":%.6f,"bytes":%d,"p50_ms":%.4f,"p99_ms":%.4f,' ..
    '"p999_ms":%.4f,"mean_ms":%.4f,"max_ms":%.4f,"non_2xx":%d,"socket_errors":%d,"timeouts":%d}\n',
    summary.requests, summary.duration / 1e6, summary.bytes,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency:percentile(99.9) / 1e3,
    latency.mean / 1e3, latency.max / 1e3, errors.status,
    errors.connect + errors.read + errors.write, errors.timeout))
end
