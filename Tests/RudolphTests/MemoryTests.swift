import CPlatform
import Foundation
import Testing

/// Available memory and processors, as control groups limit them.
@Suite struct MemoryTests {
    /// Made-up groups: folders of files, and the file that says which one the process is in.
    struct Groups: ~Copyable {
        let folder = FileManager.default.temporaryDirectory.appending(path: "rudolph-groups-\(UUID().uuidString)")

        /// - Parameter groups: paths below the root, and what is in their files.
        init(_ groups: [String: [String: String]]) throws {
            for (path, files) in groups {
                let group = folder.appending(path: "root\(path)")
                try FileManager.default.createDirectory(at: group, withIntermediateDirectories: true)
                for (name, text) in files { try Data(text.utf8).write(to: group.appending(path: name)) }
            }
        }

        func memory(of membership: String) throws -> UInt64 { try least(of: membership) { rp_group_memory($0, $1) } }

        func processors(of membership: String) throws -> UInt64 { try least(of: membership) { rp_group_processors($0, $1) } }

        private func least(of membership: String, by limit: (String, String) -> UInt64) throws -> UInt64 {
            let file = folder.appending(path: "membership").path
            try Data(membership.utf8).write(to: URL(filePath: file))
            return limit(file, folder.appending(path: "root").path)
        }

        deinit { try? FileManager.default.removeItem(at: folder) }
    }

    static func group(_ limit: String, _ used: String, _ pages: String? = nil) -> [String: String] {
        var files = ["memory.max": limit + "\n", "memory.current": used + "\n"]
        files["memory.stat"] = pages
        return files
    }

    @Test func groupsLimitMemory() throws {
        let groups = try Groups([
            "": ["cgroup.controllers": "memory\n"],
            "/free": Self.group("max", "5000"),
            "/free/low": Self.group("9000", "2000"),
            "/tight": Self.group("10000", "4000"),
            "/tight/loose": Self.group("20000", "1000"),
            "/tight/loose/free": Self.group("max", "1000"),
            "/over": Self.group("1000", "1500"),
            "/pages": Self.group("10000", "9000", "anon 2000\nfile 7000\ninactive_file 3000\nactive_file 1000\nslab 5\n"),
            "/more pages": Self.group("10000", "9000", "inactive_file 8000\nactive_file 8000\n"),
            "/damaged": Self.group("many", "few", "inactive_file\n"),
            "/half": ["memory.max": "1000\n"],
        ])
        for (group, expected) in [
            ("/", UInt64.max), ("/free", .max), ("/free/low", 7000), ("/tight", 6000), ("/tight/loose", 6000), ("/tight/loose/free", 6000),
            ("/over", 0), ("/pages", 5000), ("/more pages", 10000), ("/damaged", .max), ("/half", .max), ("/missing", .max),
            // As a container sees groups that are not its own.
            ("/../../tight", .max), ("/tight/missing", 6000),
        ] {
            #expect(try groups.memory(of: "4:memory:/tight\n0::\(group)\n") == expected, "\(group)")
        }
        // No line for version 2, none at all, and more than a path can be.
        for membership in ["4:memory:/tight\n", "", "0::/tight/" + String(repeating: "x/", count: 10_000)] {
            #expect(try groups.memory(of: membership) == .max)
        }
    }

    @Test func theRootsOwnLimitCounts() throws {
        let groups = try Groups(["": Self.group("8000", "1000"), "/inner": Self.group("max", "10")])
        for membership in ["0::/\n", "0::/inner\n", "0::/inner", "0::/../outer\n", ""] {
            #expect(try groups.memory(of: membership) == 7000, "\(membership)")
        }
        #expect(rp_group_memory("/nonexistent/membership", "/nonexistent/root") == .max)
        #expect(rp_group_memory("/nonexistent", String(repeating: "/x", count: 10_000)) == .max)
    }

    @Test func groupsLimitProcessors() throws {
        func share(_ text: String) -> [String: String] { ["cpu.max": text] }
        let groups = try Groups([
            "": share("max 100000\n"), "/two": share("200000 100000\n"), "/two/three": share("300000 100000\n"), "/two/free": share("max 100000\n"),
            "/more": share("250001 100000\n"), "/less": share("1000 100000\n"), "/none": [:], "/damaged": share("two 100000\n"),
            "/zero": share("0 0\n"), "/cut": share("200000"), "/most": share("18446744073709551615 1\n"),
        ])
        for (group, expected) in [
            ("/", UInt64.max), ("/two", 2), ("/two/three", 2), ("/two/free", 2), ("/more", 3), ("/less", 1), ("/none", .max), ("/damaged", .max),
            ("/zero", .max), ("/cut", .max), ("/most", .max), ("/two/missing", 2), ("/../two", .max),
        ] {
            #expect(try groups.processors(of: "0::\(group)\n") == expected, "\(group)")
        }
        #expect(rp_allowed_processors() >= 1)
    }

    /// Small and large blocks, on both sides of where they begin to be mapped, in pages of either size.
    @Test func blocksAreZeroAlignedAndWhole() throws {
        for size in [0, 1, 64, 4096, 1 << 20 - 64, 1 << 20 - 63, 1 << 20, 3 << 20 + 1, 5 << 20] {
            // What was written before does not come back.
            for prefersLarge in [false, true, false] {
                let block = try #require(rp_allocate(UInt64(size)), "\(size) bytes")
                if prefersLarge { rp_prefer_large_pages(block) }
                let bytes = UnsafeMutableRawBufferPointer(start: block, count: size)
                #expect(UInt(bitPattern: block) % 64 == 0 && bytes.allSatisfy { $0 == 0 }, "\(size) bytes")
                for index in bytes.indices { bytes[index] = 0x55 }
                rp_free(block)
            }
        }
        for size in [UInt64.max, UInt64.max - 62, UInt64.max - 200, 1 << 62] { #expect(rp_allocate(size) == nil, "\(size) bytes") }
        rp_free(nil)
        rp_prefer_large_pages(nil)
    }

    @Test func threadsAreStartedAndCounted() {
        for count: Int32 in [-1, 0, 1, 3, 2] { #expect(rp_start_threads(count, 256 << 10) == count) }
        // What was there once is not asked for again; no system has room for such stacks.
        #expect(rp_start_threads(3, 1 << 62) == 3)
        #expect((3..<1024).contains(rp_start_threads(2000, 1 << 62)))
    }

    @Test func thisMachinesMemoryIsKnown() {
        #expect(rp_available_memory() > 1 << 20)
    }
}
