#!/usr/bin/env bash
# What the tests need beside Python: PostgreSQL's server programs and Chromium. On Debian as root they are
# installed; anywhere else this stops and says what to install.
set -eu

missing=()
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || [ -n "${TEST_DATABASE_URL:-}" ] || missing+=(postgresql)
[ -x /usr/bin/chromium ] || command -v chromium >/dev/null || [ -n "${CHROMIUM:-}" ] || missing+=(chromium)
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing for the tests: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  exit 0
fi
echo "The tests need: ${missing[*]}. Install them (on Debian: sudo apt-get install ${missing[*]}) and run make test again." >&2
echo "Or name them: TEST_DATABASE_URL=postgresql+psycopg://user@host/name, CHROMIUM=/path/to/chromium." >&2
exit 1
