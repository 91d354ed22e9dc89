#!/bin/sh
# sync.sh FROM TO: makes folder TO equal to FROM and removes FROM; a file whose content is the same keeps its time.
set -eu
mkdir -p "$2"
for f in "$2"/*; do
    [ ! -e "$f" ] || [ -e "$1/${f##*/}" ] || rm "$f"
done
for f in "$1"/*; do
    cmp -s "$f" "$2/${f##*/}" || cp "$f" "$2/"
done
rm -r "$1"
