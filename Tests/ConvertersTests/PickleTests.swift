import Converters
import Foundation
import Testing

@Suite struct PickleTests {
    /// Reads a checkpoint whose data.pkl is `pickle`, with one storage of 8 bytes; returns what the reader says against it.
    func refusal(_ pickle: [UInt8]) throws -> String? {
        let folder = try TemporaryFolder()
        var archive = ZipWriter()
        archive.add("m/data.pkl", pickle)
        archive.add("m/data/0", [Float(1), 2].withUnsafeBytes(Array.init))
        let path = try folder.write("pytorch_model.bin", archive.finished())
        return failure { for view in try Checkpoint(path: path).tensors.values { _ = view.floats() } }
            .map { $0.replacingOccurrences(of: folder.url.path + "/", with: "") }
    }

    /// A dictionary with the tensor `a`.
    func tensor(count: Int = 2, shape: [Int] = [2], strides: [Int]? = nil, offset: Int = 0, storage: String = "FloatStorage") -> [UInt8] {
        var pickle = PickleWriter()
        pickle.op("}")
        pickle.string("a")
        pickle.tensor(key: "0", count: count, shape: shape, strides: strides, offset: offset, storage: storage)
        pickle.op("s")
        return pickle.finished()
    }

    @Test func acceptsTheTensor() throws { #expect(try refusal(tensor()) == nil) }

    /// As Python does, where nothing lies above it.
    @Test func aMarkCanBeTakenAway() throws {
        #expect(try refusal([0x80, 2, UInt8(ascii: "("), UInt8(ascii: "0")] + tensor().dropFirst(2)) == nil)
    }

    /// Integers of any length have a sign.
    @Test(arguments: [([0x8A, 1, 1], nil), ([0x8A, 1, 0xFF], "is malformed"), ([0x8A, 2, 0xFF, 0], "reaches past"), ([0x8A, 0], nil)])
    func longIntegersAreOffsets(integer: [UInt8], words: String?) throws {
        let offset: [UInt8] = [UInt8(ascii: "J"), 77, 0, 0, 0]
        let reason = try refusal(Array(Data(tensor(shape: [1], offset: 77)).replacing(offset, with: integer)))
        #expect(words.map { reason?.contains($0) == true } ?? (reason == nil), "\(integer): \(reason ?? "accepted")")
    }

    @Test(arguments: [
        ("posix", "system"), ("os", "system"), ("builtins", "eval"), ("builtins", "getattr"), ("subprocess", "Popen"),
        ("torch", "load"), ("torch.hub", "load"), ("torch.storage", "_load_from_bytes"), ("numpy", "load"),
    ])
    func refusesGlobalsByName(module: String, name: String) throws {
        // import module; name('echo'): the classic, in both ways to name a global.
        var old = PickleWriter(), new = PickleWriter()
        old.global(module, name)
        new.string(module)
        new.string(name)
        new.bytes.append(0x93)
        for var pickle in [old, new] {
            pickle.op("(")
            pickle.string("echo")
            pickle.op("t")
            pickle.op("R")
            #expect(try refusal(pickle.finished()) == "pytorch_model.bin: pickle names the global \(module).\(name), which is not allowed")
        }
    }

    @Test func refusesGlobalsInsideOfTensors() throws {
        var pickle = PickleWriter()
        pickle.op("}")
        pickle.string("a")
        pickle.tensor(key: "0", count: 2, shape: [2])
        pickle.global("posix", "system")
        pickle.op("b")
        pickle.op("s")
        #expect(try refusal(pickle.finished())?.contains("posix.system") == true)
    }

    @Test(arguments: [
        ([0x69], "opcode 0x69"),  // INST
        ([0x82, 1], "opcode 0x82"),  // EXT1
        ([0x49, 0x31, 0x0A], "opcode 0x49"),  // INT, of protocol 0
        ([0x52], "empty stack"), ([0x75], "a mark that is not there"), ([0x30], "empty stack"), ([0x68, 9], "recalls 9"),
        ([0x4E, 0x28, 0x85, 0x74], "empty stack"), ([0x4E, 0x4E, 0x28, 0x86, 0x74], "empty stack"),  // below a mark
        ([0x29, 0x51], "no torch storage"), ([0x4E, 0x29, 0x52], "calls something that is no global"),
        ([0x4E, 0x4E, 0x61], "no list"), ([0x4E, 0x4E, 0x4E, 0x73], "no dictionary"), ([0x28, 0x7D, 0x28, 0x4E, 0x75], "without a value"),
        ([0x58, 0xFF, 0xFF, 0xFF, 0xFF], "ends early"), ([0x8B, 0xFF, 0xFF, 0xFF, 0xFF], "ends early"), ([0x80, 9], "protocol 9"),
        ([0x4E, 0x2E], "no dictionary of tensors"), ([0x8D, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], "ends early"),
    ] as [([UInt8], String)])
    func refusesOpcodes(bytes: [UInt8], words: String) throws {
        let reason = try refusal([0x80, 2] + bytes)
        #expect(reason?.contains(words) == true, "\(bytes): \(reason ?? "accepted")")
    }

    /// Each could stand in the next one, as deep as a file is long.
    @Test func refusesTypesOfTypes() throws {
        var pickle = PickleWriter()
        pickle.global("torch._tensor", "_rebuild_from_type_v2")
        pickle.op("(")
        pickle.global("torch._tensor", "_rebuild_from_type_v2")
        for opcode in "N)tR" { pickle.op(opcode) }
        let reason = try refusal(pickle.finished())
        #expect(reason?.contains("a tensor of a type of a type") == true, "\(reason ?? "accepted")")
    }

    /// As protocol 4 does, under the next number.
    @Test func remembersValues() throws {
        var pickle = PickleWriter()
        pickle.op("}")
        pickle.bytes.append(0x94)
        for key in ["a", "b"] {
            pickle.string(key)
            pickle.bytes.append(0x94)
            pickle.tensor(key: "0", count: 2, shape: [2])
            pickle.op("s")
        }
        for number: UInt8 in [1, 2, 0] { pickle.bytes += [UInt8(ascii: "h"), number] }
        #expect(try refusal(pickle.finished()) == nil)
        pickle.bytes += [UInt8(ascii: "h"), 3]
        #expect(try refusal(pickle.finished())?.contains("recalls 3") == true)
    }

    @Test func refusesTensorsOutsideOfTheirStorage() throws {
        for (pickle, words) in [
            (tensor(shape: [3]), "reaches past its storage of 2"), (tensor(strides: [2]), "reaches past"),
            (tensor(offset: 1), "reaches past"), (tensor(offset: -1), "is malformed"), (tensor(shape: [-2]), "is malformed"),
            (tensor(strides: [-1]), "is malformed"), (tensor(shape: [2, 2], strides: [1]), "is malformed"),
            (tensor(shape: [1 << 40, 1 << 40], strides: [0, 0]), "too large"), (tensor(shape: [3], strides: [Int.max]), "too large"),
            (tensor(offset: Int.max), "too large"), (tensor(count: 3), "holds 2 elements, 3 expected"),
            (tensor(count: Int.max), "elements"), (tensor(count: -1), "no torch storage"),
            (tensor(shape: [1, 1, 1, 1, 1, 1, 1, 1, 2]), "9 dimensions"), (tensor(storage: "DoubleStorage"), "holds 1 elements, 2 expected"),
        ] {
            let reason = try refusal(pickle)
            #expect(reason?.contains(words) == true, "\(words): \(reason ?? "accepted")")
        }
    }

    /// A key that is stored once and used again and again.
    @Test func refusesLongNames() throws {
        func nested(_ key: String, in count: Int) -> [UInt8] {
            var pickle = PickleWriter()
            pickle.op("}")
            pickle.string(key)
            pickle.bytes += [UInt8(ascii: "q"), 0]
            pickle.tensor(key: "0", count: 2, shape: [2])
            pickle.op("s")
            for index in 0..<count {
                pickle.string("d\(index)")
                pickle.op("}")
                pickle.bytes += [UInt8(ascii: "h"), 0]
                pickle.tensor(key: "0", count: 2, shape: [2])
                pickle.op("s")
                pickle.op("s")
            }
            return pickle.finished()
        }
        #expect(try refusal(nested(String(repeating: "k", count: 509), in: 9)) == nil)
        #expect(
            try refusal(nested(String(repeating: "k", count: 509), in: 11))
                == "pytorch_model.bin: a name of 513 bytes in its dictionaries, expected at most 512")
        #expect(
            try refusal(nested(String(repeating: "k", count: 1_000_000), in: 1000))
                == "pytorch_model.bin: a name of 1000000 bytes in its dictionaries, expected at most 512")

        var storage = PickleWriter()
        storage.op("}")
        storage.string("a")
        storage.tensor(key: String(repeating: "0", count: 513), count: 2, shape: [2])
        storage.op("s")
        #expect(try refusal(storage.finished())?.contains("a storage whose name has 513 bytes, expected at most 512") == true)
    }

    func repeated(_ opcodes: String, _ count: Int, behind start: String = "") -> [UInt8] {
        PickleWriter().bytes + start.utf8 + repeatElement(Array(opcodes.utf8), count: count).joined()
    }

    /// Opcodes of one or two bytes that would keep something each.
    @Test func refusesMoreValuesThanCheckpointsHave() throws {
        let remember = PickleWriter().bytes + [UInt8(ascii: "N")] + [UInt8](repeating: 0x94, count: 1_100_000)
        for (pickle, what) in [
            (repeated("N", 1_100_000), "values and marks on its stack"), (repeated("(", 1_100_000), "values and marks on its stack"),
            (remember, "values to remember"), (repeated("]0", 1_100_000), "tuples, lists and dictionaries"),
            (repeated(")0", 1_100_000), "tuples, lists and dictionaries"), (repeated("}0", 1_100_000), "tuples, lists and dictionaries"),
            (repeated("Na", 1_100_000, behind: "]"), "values in tuples, lists and dictionaries"),
            (repeated("NNs", 530_000, behind: "}"), "values in tuples, lists and dictionaries"),
        ] {
            let reason = try refusal(pickle)
            #expect(reason?.hasSuffix("\(what), expected at most 1048576") == true, "\(what): \(reason ?? "accepted")")
        }
    }

    @Test func refusesLargePicklesAndTexts() throws {
        var text = PickleWriter(), longest = PickleWriter()
        text.string(String(repeating: "k", count: 10_000_000))
        longest.string(String(repeating: "k", count: 1 << 20))
        let global = PickleWriter().bytes + "c\(String(repeating: "m", count: 10_000))\nx\n".utf8
        for (pickle, words) in [
            (text.finished(), "a text of 10000000 bytes, expected at most 1048576"), (longest.finished(), "is no dictionary of tensors"),
            (global, "a line without an end in 513 bytes"), (repeated("N0", 4_200_000), "a pickle of more than 8 MiB"),
        ] {
            let reason = try refusal(pickle)
            #expect(reason?.contains(words) == true, "\(words): \(reason ?? "accepted")")
        }
    }

    @Test func refusesMoreTensorsThanCheckpointsHave() throws {
        var storages = PickleWriter(), tensors = PickleWriter(), names = PickleWriter()
        storages.storage(key: "0", count: 2)
        // Its persistent id is the first thing that each repetition needs.
        storages.bytes.removeLast()
        storages.bytes += [UInt8(ascii: "q"), 0] + repeatElement([UInt8(ascii: "Q"), 0x30, 0x68, 0], count: 65_537).joined()
        tensors.tensor(key: "0", count: 2, shape: [2])
        tensors.bytes.removeLast()
        tensors.bytes += [UInt8(ascii: "q"), 0, 0x30, UInt8(ascii: "q"), 1, 0x30]
        tensors.bytes += repeatElement([0x68, 1, 0x68, 0, UInt8(ascii: "R"), 0x30], count: 65_537).joined()
        names.op("}")
        names.string("a")
        names.tensor(key: "0", count: 2, shape: [2])
        names.bytes += [UInt8(ascii: "q"), 0]
        names.op("s")
        for index in 0..<65_537 {
            names.string("a\(index)")
            names.bytes += [UInt8(ascii: "h"), 0]
            names.op("s")
        }
        for (pickle, words) in [
            (storages, "a pickle with 65537 storages, expected at most 65536"), (tensors, "a pickle with 65537 tensors, expected at most 65536"),
            (names, "more than 65536 tensors in its dictionaries"),
        ] {
            let reason = try refusal(pickle.finished())
            #expect(reason?.contains(words) == true, "\(words): \(reason ?? "accepted")")
        }
    }

    @Test func survivesHostileStructures() throws {
        // A million tuples, each inside the next; lists that hold one another; a dictionary that holds itself.
        var deep = PickleWriter()
        deep.op(")")
        deep.bytes += [UInt8](repeating: 0x85, count: 1_000_000)
        #expect(try refusal(deep.finished())?.contains("no dictionary of tensors") == true)

        var lists = PickleWriter()
        lists.bytes += [UInt8](repeating: UInt8(ascii: "]"), count: 1_000_000) + [UInt8](repeating: UInt8(ascii: "a"), count: 999_999)
        #expect(try refusal(lists.finished())?.contains("no dictionary of tensors") == true)

        var own = PickleWriter()
        own.op("}")
        own.bytes += [UInt8(ascii: "q"), 0]
        own.string("a")
        own.bytes += [UInt8(ascii: "h"), 0]
        own.op("s")
        #expect(try refusal(own.finished())?.contains("holds no tensors") == true)

        // Ten dictionaries, each with a hundred times the one before.
        var wide = PickleWriter()
        wide.op("}")
        for level in 1..<10 {
            wide.bytes += [UInt8(ascii: "q"), UInt8(level)]
            wide.op("}")
            wide.op("(")
            for index in 0..<100 {
                wide.string("\(index)")
                wide.bytes += [UInt8(ascii: "h"), UInt8(level)]
            }
            wide.op("u")
        }
        let reason = try refusal(wide.finished())
        #expect(reason?.contains("more than a million entries") == true, "\(reason ?? "accepted")")
    }
}
