import CPlatform
import Foundation
import Testing

/// The cores that a process may use, as the system's files describe them.
@Suite struct ProcessorTests {
    /// A made-up /sys/devices/system/cpu: for each processor what is in its files.
    struct Machine: ~Copyable {
        let folder = FileManager.default.temporaryDirectory.appending(path: "rudolph-processors-\(UUID().uuidString)")

        init(_ processors: [Int: [String: String]]) throws {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            for (processor, files) in processors {
                for (name, text) in files {
                    let file = folder.appending(path: "cpu\(processor)/\(name)")
                    try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
                    try Data(text.utf8).write(to: file)
                }
            }
        }

        func cores(_ allowed: some Sequence<Int>, words: Int = 16) -> UInt64 {
            var mask = [UInt64](repeating: 0, count: words)
            for processor in allowed { mask[processor / 64] |= 1 << (processor % 64) }
            return rp_cores(mask, mask.count, folder.path)
        }

        deinit { try? FileManager.default.removeItem(at: folder) }
    }

    static let list = "topology/core_cpus_list", oldList = "topology/thread_siblings_list"

    /// Each entry names the processors of a core, as the files of all of them do.
    static func machine(_ cores: [(list: String, processors: [Int])], _ name: String = list) throws -> Machine {
        var processors: [Int: [String: String]] = [:]
        for core in cores {
            for processor in core.processors { processors[processor] = [name: core.list + "\n"] }
        }
        return try Machine(processors)
    }

    /// Numbered first through the cores, as Intel's and AMD's are on most machines, or core by core.
    @Test(arguments: [list, oldList])
    func hardwareThreadsOfACoreCountOnce(name: String) throws {
        let split = try Self.machine((0..<4).map { ("\($0),\($0 + 4)", [$0, $0 + 4]) }, name)
        let adjacent = try Self.machine((0..<4).map { ("\(2 * $0)-\(2 * $0 + 1)", [2 * $0, 2 * $0 + 1]) }, name)
        #expect(split.cores(0..<8) == 4 && adjacent.cores(0..<8) == 4)
        // One of two siblings, whichever it is, and both of one core.
        #expect(split.cores([0, 1, 2, 3]) == 4 && split.cores([4, 5, 6, 7]) == 4 && split.cores([0, 5]) == 2)
        #expect(split.cores([1, 5]) == 1 && split.cores([7]) == 1)
        #expect(adjacent.cores([0, 2, 4, 6]) == 4 && adjacent.cores([1, 3]) == 2 && adjacent.cores([2, 3, 5]) == 2)
    }

    @Test func coresWithoutSiblingsCountAsBefore() throws {
        let pi = try Self.machine((0..<4).map { ("\($0)", [$0]) })
        #expect(pi.cores(0..<4) == 4 && pi.cores([1, 3]) == 2)
        // The newer name counts where both are there.
        let both = try Machine([0: [Self.list: "0\n", Self.oldList: "0-1\n"], 1: [Self.list: "1\n", Self.oldList: "0-1\n"]])
        #expect(both.cores(0..<2) == 2)
    }

    @Test func slowKindsOfCoresDoNotCount() throws {
        func files(_ list: String, _ capacity: Int) -> [String: String] { [Self.list: list + "\n", "cpu_capacity": "\(capacity)\n"] }
        let board = try Machine([0: files("0", 446), 1: files("1", 446), 2: files("2", 1024), 3: files("3", 1024), 4: files("4", 446)])
        #expect(board.cores(0..<5) == 2 && board.cores([0, 1, 4]) == 3 && board.cores([0, 3]) == 1)
        let threads = try Machine([0: files("0-1", 1024), 1: files("0-1", 1024), 2: files("2", 500), 3: files("3-4", 1024), 4: files("3-4", 1024)])
        #expect(threads.cores(0..<5) == 2)
        // One prime core, three big ones, four little ones, in either order.
        let capacities = [1024, 870, 870, 870, 530, 530, 530, 530]
        for capacities in [capacities, capacities.reversed()] {
            let phone = try Machine(
                Dictionary(uniqueKeysWithValues: capacities.enumerated().map { ($0.offset, files("\($0.offset)", $0.element)) }))
            #expect(phone.cores(0..<8) == 4)
        }
    }

    @Test func manyProcessorsAndThoseThatAreOffline() throws {
        // 1,536 cores of two threads, as masks beyond 1,024 processors and lists beyond both have them.
        let large = try Self.machine([0, 5, 1023, 1024, 1535].map { ("\($0),\($0 + 1536)", [$0, $0 + 1536]) })
        #expect(large.cores([0, 5, 1023, 1024, 1535], words: 48) == 5)
        #expect(large.cores([0, 5, 1023, 1024, 1535, 1536, 1541, 2559, 2560, 3071], words: 48) == 5)
        // The mask is shorter than what the list names.
        #expect(large.cores([0, 5, 1023]) == 3)
        // The sibling of 1 is offline: it is in no mask, has no topology, and 1 names itself alone.
        let offline = try Machine([0: [Self.list: "0,2\n"], 1: [Self.list: "1\n"], 2: [Self.list: "0,2\n"], 3: ["online": "0\n"]])
        #expect(offline.cores(0..<3) == 2 && offline.cores([1, 2]) == 2)
    }

    /// Each processor of which nothing sensible is said is a core.
    @Test func whatCannotBeReadSaysNothing() throws {
        #expect(try Machine([:]).cores(0..<8) == 8)
        #expect(try Machine([0: [Self.list: "0-1\n"], 2: [Self.list: "2-3\n"]]).cores(0..<4) == 4)
        let root = "/nonexistent", mask: [UInt64] = [0b1011]
        #expect(rp_cores(mask, 1, root) == 3 && rp_cores(mask, 1, String(repeating: "/x", count: 10_000)) == 3)
        #expect(rp_cores([0, 0], 2, root) == 1)
        for garbage in [
            "", "\n", "x", "-1", "0-", "0--1", "0,", ",0", "0 1", "0-1 2", "0-1x", "0x0-1", "1-0", "5-7", "0", "99999999999999999999999999",
            "0-1," + String(repeating: "9,", count: 4096) + "9", "00000003", "\u{0}0-1",
        ] {
            #expect(try Machine([0: [Self.list: garbage], 1: [Self.list: garbage]]).cores(0..<2) == 2, "\(garbage.prefix(20))")
            let capacity = try Machine([0: ["cpu_capacity": garbage], 1: ["cpu_capacity": garbage]])
            #expect(capacity.cores(0..<2) == 2, "\(garbage.prefix(20))")
        }
        // Without the line's end, repeated, in any order, and too many to be any machine's.
        for list in ["0-1", "0,1", "1,0\n", "0,0,1\n", "0-18446744073709551615\n", "0-99999999999999999999999999\n"] {
            #expect(try Machine([0: [Self.list: list], 1: [Self.list: list]]).cores(0..<2) == 1, "\(list)")
        }
        let folders = try Machine([0: ["\(Self.list)/x": ""], 1: ["\(Self.list)/x": ""]])
        #expect(folders.cores(0..<2) == 2)
    }

    @Test func thisMachineHasCores() {
        let cores = rp_usable_cores()
        #expect(cores >= 1 && cores <= UInt64(ProcessInfo.processInfo.processorCount))
    }
}
