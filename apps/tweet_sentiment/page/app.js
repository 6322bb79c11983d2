// The page. What users wrote is only ever set as text, never as markup.
"use strict";

const API = "/api/v1";
const DAY_S = 86400;
const LABELS = ["positive", "neutral", "negative"];
const $ = (id) => document.getElementById(id);
const state = { author: null, data: null, plot: null, firstTweet: null, lastTweet: null, asked: 0 };

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

async function call(path, options) {
  let response;
  try {
    response = await fetch(API + path, options);
  } catch {
    throw { title: "The service cannot be reached", detail: "Is it still running?" };
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw { title: body.title || "Something went wrong", detail: sentence(body.detail || ""), status: response.status };
  }
  return { body, seconds: Number(response.headers.get("X-Process-Time")) };
}

const percent = (ratio) => `${(100 * ratio).toFixed(ratio && ratio < 0.0995 ? 1 : 0)} %`;
const signed = (score) => (score > 0.004 ? "+" : score < -0.004 ? "−" : "") + Math.abs(score).toFixed(2);
const tone = (score) => (score > 0.1 ? "positive" : score < -0.1 ? "negative" : "neutral");
const day = (time) => new Date(time).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$|^$/.test(text) ? "" : ".");
const plural = (count, word) => `${count.toLocaleString()} ${word}${count === 1 ? "" : "s"}`;

// --- one inference

function ask(question) {
  if (/^\s*(https?:\/\/|www\.)\S+\s*$/i.test(question)) {
    return call(`/inference?tweetUrl=${encodeURIComponent(question.trim())}`);
  }
  return call("/inference", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ text: question }),
  });
}

async function submit(event) {
  event.preventDefault();
  const turn = ++state.asked;
  const button = $("ask").querySelector("button");
  button.disabled = true;
  let shown;
  try {
    const { body, seconds } = await ask($("question").value);
    shown = answerCard(body, seconds);
    if (body.tweet) chooseAuthor(body.tweet.author);
  } catch (problem) {
    shown = problemCard(problem);
  }
  button.disabled = false;
  if (turn === state.asked) $("answer").replaceChildren(shown);
  showService();
}

function answerCard(body, seconds) {
  const took = `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
  const origin = body.cached ? `from the store in ${took}` : `computed in ${took}`;
  const verdict = make("p", { className: "verdict" },
    make("strong", { className: `is-${body.label}`, textContent: body.label }),
    make("span", { className: "note", textContent: `score ${signed(body.score)} · ${origin} · model ${body.modelVersion}` }));
  const bars = make("ul", { className: "bars" });
  for (const label of LABELS) bars.append(bar(label, body.probabilities[label]));
  const card = make("div", { className: "card result" }, verdict);
  if (body.tweet) card.append(quote(body.tweet));
  card.append(bars);
  return card;
}

function bar(label, probability) {
  const fill = make("i", { className: `fill-${label}` });
  fill.style.width = `${100 * probability}%`;
  const name = label[0].toUpperCase() + label.slice(1);
  return make("li", {}, make("span", { textContent: name }), make("span", { className: "track" }, fill),
    make("b", { textContent: percent(probability) }));
}

function quote(tweet) {
  const text = make("p", { textContent: tweet.text, dir: "auto" });
  const by = make("footer", { textContent: `@${tweet.author} · ${day(tweet.createdAt)}` });
  return make("blockquote", { className: "quote" }, text, by);
}

function problemCard(problem) {
  return make("div", { className: "card problem" },
    make("strong", { textContent: problem.title }), make("span", { textContent: problem.detail }));
}

// --- authors

const chosen = (name) => document.querySelector(`input[name=${name}]:checked`).value;

function frame() {
  const until = state.lastTweet ? new Date(state.lastTweet).getTime() + DAY_S * 1000 : Date.now();
  const first = state.firstTweet ? new Date(state.firstTweet).getTime() : 0;
  const since = Math.max(first, until - Number(chosen("days")) * DAY_S * 1000);
  return { since: new Date(since).toISOString(), until: new Date(until).toISOString() };
}

async function showTop() {
  const { since, until } = frame();
  $("frame").textContent = `${day(since)} to ${day(new Date(until) - 1)}`;
  const query = new URLSearchParams({ since, until, sort: chosen("sort"), limit: 8, minCount: 1 });
  let rows;
  try {
    const { body } = await call(`/authors/top?${query}`);
    rows = body.authors.map(topRow);
    if (!state.author && body.authors.length) chooseAuthor(body.authors[0].author);
  } catch (problem) {
    rows = [make("li", { className: "empty", textContent: problem.title })];
  }
  if (!rows.length) rows = [make("li", { className: "empty", textContent: "Nobody wrote in this time." })];
  $("top").replaceChildren(...rows);
}

function topRow(row, index) {
  const name = make("span", { className: "name", textContent: row.author },
    make("small", { textContent: plural(row.counts.total, "tweet") }));
  const button = make("button", { type: "button" },
    make("span", { className: "rank", textContent: index + 1 }), name, stack(row.counts),
    make("span", { className: `mean is-${tone(row.meanScore)}`, textContent: signed(row.meanScore) }));
  button.dataset.author = row.author;
  button.setAttribute("aria-pressed", String(row.author === state.author));
  button.setAttribute("aria-label", `${row.author}: ${plural(row.counts.total, "tweet")}, mean score ${signed(row.meanScore)}. Show over time`);
  button.addEventListener("click", () => chooseAuthor(row.author));
  return make("li", {}, button);
}

function stack(counts) {
  const box = make("span", { className: "stack" });
  for (const label of LABELS) {
    const part = make("i", { className: `fill-${label}` });
    part.style.flex = `${counts[label]} 0 0`;
    if (counts[label]) box.append(part);
  }
  return box;
}

function chooseAuthor(author) {
  state.author = author;
  $("author").value = author;
  showAuthor();
}

async function showAuthor() {
  const author = state.author;
  if (!author) return;
  for (const button of $("top").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.author === author));
  }
  try {
    const { body } = await call(`/authors/${encodeURIComponent(author)}/sentiment?${new URLSearchParams(frame())}`);
    if (author !== state.author) return;
    state.data = body;
    $("author-facts").replaceChildren(...facts(body));
  } catch (problem) {
    if (author !== state.author) return;
    state.data = null;
    $("author-facts").replaceChildren(`${problem.title}. ${problem.detail}`);
  }
  draw();
  fillTable();
}

function facts(body) {
  if (!body.counts.total) return [`No tweets of ${body.author} in this time.`];
  const words = { rising: "and rising", falling: "and falling", steady: "and steady" };
  const direction = body.trend ? `, ${words[body.trend.direction]}` : "";
  return [make("strong", { textContent: body.author }), ` wrote ${plural(body.counts.total, "tweet")}; the mean is `,
    make("strong", { className: `is-${tone(body.meanScore)}`, textContent: signed(body.meanScore) }), `${direction}.`];
}

function fillTable() {
  const rows = (state.data ? state.data.buckets : []).map(({ start, meanScore, counts }) => make("tr", {},
    make("th", { scope: "row", textContent: day(start) }), ...[signed(meanScore), counts.positive, counts.neutral, counts.negative]
      .map((value) => make("td", { textContent: value }))));
  $("table").replaceChildren(...rows);
  $("table-box").hidden = !rows.length;
}

function series(buckets) {
  const times = buckets.map((bucket) => Date.parse(bucket.start) / 1000);
  const means = buckets.map((bucket) => bucket.meanScore);
  const smooth = buckets.map((_, last) => {
    let sum = 0, tweets = 0;
    for (let index = last; index >= 0 && times[last] - times[index] < 7 * DAY_S; index--) {
      sum += means[index] * buckets[index].counts.total;
      tweets += buckets[index].counts.total;
    }
    return sum / tweets;
  });
  return [times, means, smooth];
}

function draw() {
  const box = $("chart");
  if (state.plot) state.plot.destroy();
  state.plot = null;
  box.setAttribute("aria-label", chartLabel());
  if (!state.data || !state.data.buckets.length) return;
  const css = getComputedStyle(document.documentElement);
  const colour = (name) => css.getPropertyValue(`--${name}`).trim();
  const axis = { stroke: colour("soft"), font: "12px system-ui, sans-serif", ticks: { show: false } };
  const shades = { positive: colour("positive"), neutral: colour("neutral"), negative: colour("negative") };
  const dots = (plot, index) => {
    const { ctx } = plot;
    const radius = 3.5 * devicePixelRatio;
    plot.data[0].forEach((time, at) => {
      ctx.fillStyle = shades[tone(plot.data[index][at])];
      ctx.beginPath();
      ctx.arc(plot.valToPos(time, "x", true), plot.valToPos(plot.data[index][at], "y", true), radius, 0, 2 * Math.PI);
      ctx.fill();
    });
    return false;
  };
  const { since, until } = frame();
  state.plot = new uPlot({
    width: box.clientWidth, height: box.clientHeight,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    legend: { show: false }, cursor: { show: false },
    scales: { x: { min: Date.parse(since) / 1000, max: Date.parse(until) / 1000 }, y: { range: [-1.05, 1.05] } },
    axes: [
      { ...axis, grid: { show: false }, space: 90, values: (_, splits) => splits.map((s) => new Date(s * 1000).toLocaleDateString(undefined, { day: "numeric", month: "short", timeZone: "UTC" })), incrs: [1, 2, 5, 7, 14, 28].map((days) => days * DAY_S) },
      { ...axis, size: 62, grid: { stroke: colour("line"), width: 1 }, splits: [-1, 0, 1], values: () => ["negative", "neutral", "positive"] },
    ],
    series: [{}, { paths: () => null, points: { show: dots } },
      { stroke: colour("accent"), width: 3, points: { show: false }, paths: uPlot.paths.spline() }],
  }, series(state.data.buckets), box);
}

function chartLabel() {
  if (!state.data || !state.data.buckets.length) return "Nothing to draw";
  const { author, counts, meanScore, trend } = state.data;
  const words = trend ? `, ${trend.direction}` : "";
  return `Sentiment of ${author} by day: ${plural(counts.total, "tweet")}, mean score ${signed(meanScore)}${words}. The table below has the numbers.`;
}

// --- the service itself

async function showService() {
  let body;
  try {
    ({ body } = await call("/stats"));
  } catch {
    return null;
  }
  const failures = Object.values(body.failures).reduce((sum, count) => sum + count, 0);
  const answered = body.hits + body.misses;
  $("hit-ratio").textContent = percent(body.hitRatio);
  $("hit-note").textContent = `${body.hits.toLocaleString()} of ${answered.toLocaleString()}`;
  $("failure-ratio").textContent = percent(body.failureRatio);
  const common = Object.entries(body.failures).sort((a, b) => b[1] - a[1])[0];
  $("failure-note").textContent = common ? `${failures.toLocaleString()}, mostly ${common[0].replaceAll("-", " ")}` : "none so far";
  $("answered").textContent = answered.toLocaleString();
  $("answered-note").textContent = plural(body.authors, "author");
  $("spread").replaceChildren(...stack(body.predictions).childNodes);
  $("spread").setAttribute("aria-label", LABELS.map((label) => `${body.predictions[label]} ${label}`).join(", "));
  $("spread-legend").replaceChildren(...LABELS.map((label) => make("li", {},
    make("i", { className: `fill-${label}` }), `${label} ${body.predictions[label].toLocaleString()}`)));
  return body;
}

function showExamples(urls) {
  if (!urls.length) return;
  $("examples").hidden = false;
  for (const url of urls) {
    const button = make("button", { type: "button", textContent: `@${url.split("/")[3]}` });
    button.addEventListener("click", () => { $("question").value = url; $("ask").requestSubmit(); });
    $("examples").append(button);
  }
}

async function start() {
  $("ask").addEventListener("submit", submit);
  $("question").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      $("ask").requestSubmit();
    }
  });
  $("author-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const name = $("author").value.trim().replace(/^@/, "");
    if (name) chooseAuthor(name);
  });
  $("sort").addEventListener("change", showTop);
  $("period").addEventListener("change", () => { showTop(); showAuthor(); });
  new ResizeObserver(() => state.plot && state.plot.setSize({ width: $("chart").clientWidth, height: $("chart").clientHeight })).observe($("chart"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  const service = await showService();
  if (service) {
    state.firstTweet = service.firstTweetAt;
    state.lastTweet = service.lastTweetAt;
    showExamples(service.exampleUrls);
  }
  await showTop();
}

start();
