#!/bin/sh
# Looks that the page's sources are sound, and that what is committed in dist is what they build, twice the same.
# Needs Node.js 18 or newer with npm, and a registry where node_modules is not what the lock file says; without them it says so
# and passes, unless LEASELOG_WEB_REQUIRE=1 says that they are there.
set -eu
cd "$(dirname "$0")"

skip() {
	if [ -n "${LEASELOG_WEB_REQUIRE:-}" ]; then
		echo "web-check: LEASELOG_WEB_REQUIRE is set, but: $1" >&2
		exit 1
	fi
	echo "SKIP web-check: $1"
	exit 0
}

for command in node npm; do
	command -v "$command" >/dev/null || skip "$command is not installed"
done
sh install.sh || skip "npm can't install what package-lock.json says; is there a registry?"

built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
npm run --silent check
npm run --silent test >"$built/said" 2>&1 || { cat "$built/said" >&2; exit 1; }
for n in 1 2; do
	npm run --silent build -- "$built/$n"
done
diff -r "$built/1" "$built/2" >&2 || { echo "web-check: two builds of the same sources differ" >&2; exit 1; }
diff -rq "$built/1" dist >&2 || { echo "web-check: report/web/dist is not what its sources build: run make web and commit it" >&2; exit 1; }
echo "web-check: passed"
