# Sourced in the repository's root, by sh or bash. Finds the Swift toolchain, or ends and says where to get one. Sets
#   toolchain   the folder that holds bin/clang, bin/llvm-ar and lib/swift
# The compiler is asked, because its place on PATH may tell nothing: swiftly puts links to itself there.
swift_needed=$(sed -n '1s/.*: *//p' Package.swift)
swift_info=$(swiftc -print-target-info) || swift_info=
swift_found=$(echo "$swift_info" | sed -n 's/.*"compilerVersion": ".*Swift version \([0-9.]*\).*/\1/p')
if [ "$(printf '%s\n' "$swift_needed" "$swift_found" | sort -V | head -n 1)" != "$swift_needed" ]; then
    echo "Swift $swift_needed or later is needed, found: ${swift_found:-none}. Get it from https://swift.org/install" >&2
    exit 1
fi
toolchain=$(echo "$swift_info" | sed -n 's|.*"runtimeResourcePath": "\(.*\)/lib/swift".*|\1|p')
