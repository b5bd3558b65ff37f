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
        ([0x29, 0x51], "no torch storage"), ([0x4E, 0x29, 0x52], "calls something that is no global"),
        ([0x4E, 0x4E, 0x61], "no list"), ([0x4E, 0x4E, 0x4E, 0x73], "no dictionary"), ([0x28, 0x7D, 0x28, 0x4E, 0x75], "without a value"),
        ([0x58, 0xFF, 0xFF, 0xFF, 0xFF], "ends early"), ([0x8B, 0xFF, 0xFF, 0xFF, 0xFF], "ends early"), ([0x80, 9], "protocol 9"),
        ([0x4E, 0x2E], "no dictionary of tensors"), ([0x8D, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], "ends early"),
    ] as [([UInt8], String)])
    func refusesOpcodes(bytes: [UInt8], words: String) throws {
        let reason = try refusal([0x80, 2] + bytes)
        #expect(reason?.contains(words) == true, "\(bytes): \(reason ?? "accepted")")
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
            try refusal(nested(String(repeating: "k", count: 10_000_000), in: 1000))
                == "pytorch_model.bin: a name of 10000000 bytes in its dictionaries, expected at most 512")

        var storage = PickleWriter()
        storage.op("}")
        storage.string("a")
        storage.tensor(key: String(repeating: "0", count: 513), count: 2, shape: [2])
        storage.op("s")
        #expect(try refusal(storage.finished())?.contains("a storage whose name has 513 bytes, expected at most 512") == true)
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
