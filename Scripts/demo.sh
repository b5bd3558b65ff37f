#!/usr/bin/env bash
# Captions the sample pictures with the bundled model, beside their true names.
set -euo pipefail
# Else bash counts bytes.
export LC_ALL=C.UTF-8
cd "$(dirname "$0")/.."
samples=Models/demo/samples
names=$samples/names.tsv
mapfile -t files < <(cut -f1 "$names")
printf '%-34s %-34s %s\n' picture 'true name' caption
.build/release/rudolph caption --greedy --template 'на картинке' --quiet "${files[@]/#/$samples/}" |
    while IFS= read -r line; do
        file=${line%%: *}
        file=${file##*/}
        # printf pads bytes in any locale, so the columns are padded here.
        name=$(grep -F "$file" "$names" | cut -f2)
        printf '%s%*s%s%*s%s\n' "$file" $((35 - ${#file})) '' "$name" $((35 - ${#name})) '' "${line#*: }"
    done
