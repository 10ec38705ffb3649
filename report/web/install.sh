#!/bin/sh
# Installs what the lock file says into node_modules, unless that was done already.
set -eu
cd "$(dirname "$0")"
done=node_modules/.installed
if ! cmp -s package-lock.json "$done"; then
	rm -f "$done"
	npm ci --no-audit --no-fund --loglevel=error
	cp package-lock.json "$done"
fi
