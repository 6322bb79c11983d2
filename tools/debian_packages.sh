#!/usr/bin/env bash
# Install Debian packages whose program is missing, or that have none and are not there:
# debian_packages.sh redis-server chromium libnghttp2-14
set -euo pipefail

missing=()
for name in "$@"; do
  command -v "$name" >/dev/null || dpkg -s "$name" >/dev/null 2>&1 || missing+=("$name")
done
((${#missing[@]})) || exit 0
if [[ $(id -u) -ne 0 ]]; then
  echo "missing: ${missing[*]}; install them with: sudo apt-get install ${missing[*]}" >&2
  exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
