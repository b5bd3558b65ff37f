import Foundation
import Testing

@testable import Converters

@Suite struct CheckpointTests {
    /// What Tests/Golden/checkpoints/make.py put into its files.
    static let expected: [String: (type: ElementType, shape: [Int], values: [Float])] = {
        let base: [Float] = (0..<24).map { Float($0) / 8 - 1 }
        var columns: [Float] = [], cube: [Float] = []
        for column in 0..<6 { for row in 0..<4 { columns.append(base[row * 6 + column]) } }
        for i in 0..<2 { for k in 0..<4 { for j in 0..<3 { cube.append(Float(i * 12 + j * 4 + k)) } } }
        var all: [String: (ElementType, [Int], [Float])] = [
            "byte": (.uint8, [2, 3], [0, 1, 2, 3, 4, 5]), "bool": (.bool, [2, 3], [0, 1, 1, 1, 1, 1]),
            "transposed": (.float32, [6, 4], columns), "slice": (.float32, [2, 3], [7, 9, 11, 13, 15, 17].map { base[$0] }),
            "expanded": (.float32, [2, 3], [-1, -1, -1, -0.875, -0.875, -0.875]),
            "scalar": (.float32, [], [2.5]), "empty": (.float32, [0, 3], []), "parameter": (.float32, [2], [0.5, -0.25]),
            "cube": (.float16, [2, 4, 3], cube),
        ]
        for (name, type) in [
            ("half", ElementType.float16), ("brain", .bfloat16), ("float", .float32), ("double", .float64), ("char", .int8),
            ("short", .int16), ("int", .int32), ("long", .int64),
        ] {
            all[name] = (type, [2, 3], [-2, -1, 0, 1, 2, 3])
        }
        return all
    }()

    @Test(arguments: ["zip.pt", "legacy.pt", "wrapped.pt", "tensors.safetensors"])
    func readsEveryFormat(file: String) throws {
        let checkpoint = try Checkpoint(path: Project.checkpoints.appending(path: file).path)
        #expect(Set(checkpoint.tensors.keys).subtracting(["rng"]) == Set(Self.expected.keys), "\(file)")
        for (name, expected) in Self.expected {
            let view = try #require(checkpoint.tensors[name], "\(file) \(name)")
            #expect(view.type == expected.type, "\(file) \(name)")
            #expect(view.shape == expected.shape, "\(file) \(name)")
            #expect(view.floats() == expected.values, "\(file) \(name)")
        }
    }

    @Test func readsTheDemoCheckpoint() throws {
        let model = try Checkpoint(path: Project.demo.appending(path: "pytorch_model.bin").path)
        let images = try Checkpoint(path: Project.demo.appending(path: "vqgan.ckpt").path)
        #expect(model.tensors.count == 144)
        #expect(images.tensors.count == 217)
        for (checkpoint, name, shape, element, value, sum) in [
            (model, "text_embeddings.weight", [2096, 256], 2095 * 256 + 255, 0.11083984375, -1287.9236440062523),
            (model, "transformer.layers.7.mlp.dense_4h_to_h.weight", [256, 1024], 128 * 1024 + 777, 0.0234222412109375, -11.269453883171082),
            (model, "to_logits.1.bias", [3136], 3135, -1.109375, -972.0794035792351),
            (images, "encoder.down.3.block.0.conv1.weight", [128, 64, 3, 3], 73726, 0.00011074542999267578, -141.24278885126114),
        ] {
            let view = try #require(checkpoint.tensors[name], "\(name)")
            #expect(view.type == .float16, "\(name)")
            #expect(view.shape == shape, "\(name)")
            let values = view.floats()
            #expect(values[element] == Float(value), "\(name)")
            #expect(abs(values.reduce(0.0) { $0 + Double($1) } - sum) < 1e-8, "\(name)")
        }
    }

    @Test func reads64BitZipRecords() throws {
        var pickle = PickleWriter(), archive = ZipWriter()
        pickle.op("}")
        pickle.string("a")
        pickle.tensor(key: "0", count: 2, shape: [2])
        pickle.op("s")
        archive.add("x/data.pkl", pickle.finished(), zip64: true)
        archive.add("x/data/0", [Float(3), -1].withUnsafeBytes(Array.init), zip64: true)
        let folder = try TemporaryFolder()
        let checkpoint = try Checkpoint(path: try folder.write("big.pt", archive.finished(zip64: true)))
        #expect(checkpoint.tensors["a"]?.floats() == [3, -1])
    }

    /// Old versions of torch gave tensors that shared memory views of one storage: the count of the whole stands before that of the view.
    @Test func readsViewsOfStorages() throws {
        func file(_ start: Int, _ count: Int, shape: Int) -> [UInt8] {
            var pickle = PickleWriter()
            pickle.op("}")
            pickle.string("whole")
            pickle.tensor(key: "7", count: 6, shape: [6])
            pickle.op("s")
            pickle.string("view")
            pickle.tensor(key: "7", count: 6, shape: [shape], view: (start, count))
            pickle.op("s")
            return legacy(pickle.finished(), storages: [("7", [0, 1, 2, 3, 4, 5])])
        }
        let folder = try TemporaryFolder()
        let checkpoint = try Checkpoint(path: try folder.write("views.pt", file(2, 3, shape: 3)))
        #expect(checkpoint.tensors["whole"]?.floats() == [0, 1, 2, 3, 4, 5])
        #expect(checkpoint.tensors["view"]?.floats() == [2, 3, 4])
        for (start, count, shape, words) in [
            (2, 3, 4, "reaches past its storage of 3 elements"), (4, 3, 1, "storage 7 holds 2 elements from 4 on, 3 expected"),
            (7, 0, 1, "storage 7 holds 6 elements, a view of it begins at 7"), (-1, 3, 1, "a storage view that is malformed"),
            (1, -1, 1, "a storage view that is malformed"), (1, Int.max, 1, "holds 5 elements from 1 on, 9223372036854775807 expected"),
        ] {
            let reason = failure { _ = try Checkpoint(path: try folder.write("views.pt", file(start, count, shape: shape))) }
            #expect(reason?.contains(words) == true, "\(words): \(reason ?? "accepted")")
        }
    }

    @Test func takesWrappersAway() throws {
        var state = StateDictionary()
        state["w"] = ([2], .floats([1, 2]))
        let folder = try TemporaryFolder()
        for prefix in ["", "module.", "model.", "state_dict.", "model.module.", "_orig_mod.module."] {
            let checkpoint = try Checkpoint(path: try folder.write("a.pt", state.zip(prefix: prefix)))
            #expect(checkpoint.tensors["w"]?.floats() == [1, 2], "\(prefix)")
        }
        // Tied weights have two names and one memory.
        state["module.w"] = ([2], .shared("w"))
        #expect(try Checkpoint(path: try folder.write("tied.pt", state.zip())).tensors["w"]?.floats() == [1, 2])
        state["module.w"] = ([2], .floats([3, 4]))
        let reason = failure { _ = try Checkpoint(path: try folder.write("b.pt", state.zip())) }
        #expect(reason?.contains("two tensors are called w") == true, "\(reason ?? "accepted")")
    }

    @Test(arguments: ["zip.pt", "legacy.pt", "wrapped.pt", "tensors.safetensors"])
    func everyTruncationIsRefused(file: String) throws {
        let bytes = try Data(contentsOf: Project.checkpoints.appending(path: file))
        let folder = try TemporaryFolder()
        for length in 0..<bytes.count {
            let reason = failure { _ = try Checkpoint(path: try folder.write("cut", bytes.prefix(length))) }
            #expect(reason?.hasPrefix(folder.path("cut")) == true, "\(file) cut to \(length) bytes: \(reason ?? "accepted")")
        }
    }

    /// Damage may go unnoticed here, but whatever is accepted can be read to its end.
    @Test(arguments: ["zip.pt", "legacy.pt", "wrapped.pt", "tensors.safetensors"])
    func damageNeverCrashes(file: String) throws {
        let bytes = [UInt8](try Data(contentsOf: Project.checkpoints.appending(path: file)))
        let folder = try TemporaryFolder()
        var generator = Generator(state: 1)
        for _ in 0..<3000 {
            var damaged = bytes
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                damaged[Int.random(in: damaged.indices, using: &generator)] = [0, 1, 0x7F, 0x80, 0xFF, generator.next() >> 56 & 255]
                    .map { UInt8($0) }.randomElement(using: &generator) ?? 0
            }
            let path = try folder.write("damaged", damaged)
            let reason = failure {
                for view in try Checkpoint(path: path).tensors.values { if view.shape.reduce(1, *) < 1 << 20 { _ = view.floats() } }
            }
            #expect(reason?.hasPrefix("another error") != true, "\(reason ?? "")")
        }
    }

    @Test func refusesWhatIsNoCheckpoint() throws {
        let folder = try TemporaryFolder()
        for (path, words) in [
            (try folder.write("empty", []), "is empty"), (folder.url.path, "cannot be opened: Is a directory"),
            (folder.path("missing"), "cannot be opened: No such file"), (try folder.write("text", "hello, world, this is text"), "is neither"),
            (try folder.write("small", [0x80]), "is neither"),
        ] {
            let reason = failure { _ = try Checkpoint(path: path) }
            #expect(reason?.contains(words) == true && reason?.hasPrefix(path) == true, "\(path): \(reason ?? "accepted")")
        }
    }

    @Test func aSafetensorsHeaderIsToldInWords() throws {
        let folder = try TemporaryFolder()
        for (header, words) in [
            (#"{"w":{"dtype":"F32","shape":"x","data_offsets":[0,4]}}"#, "w.shape: "),
            (#"{"w":{"dtype":"F32","shape":[1]}}"#, "w: data_offsets is missing"),
            (#"{"w":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}"#, "w.shape.Index 0: an integer of 64 bits expected"),
        ] {
            let path = try folder.write("w.safetensors", safetensors(header, data: 4))
            let reason = failure { _ = try Checkpoint(path: path) }
            #expect(reason?.hasPrefix("\(path): safetensors header: \(words)") == true, "\(reason ?? "accepted")")
        }
    }

    @Test func safetensorsLieInsideTheirData() throws {
        let folder = try TemporaryFolder()
        func reason(_ offsets: String) throws -> String? {
            let header = #"{"w":{"dtype":"F32","shape":[1],"data_offsets":[\#(offsets)]}}"#
            return failure { _ = try Checkpoint(path: try folder.write("w.safetensors", safetensors(header, data: 8))) }
        }
        #expect(try reason("4,8") == nil)
        for offsets in ["8,4", "-4,0", "4,9", "0", "0,4,8"] {
            #expect(try reason(offsets)?.contains("are not inside the 8 of the data") == true, "\(offsets)")
        }
        #expect(try reason("0,3")?.contains("reaches past its storage") == true)
    }

    @Test func bytesInAnotherOrderAreRefused() throws {
        var pickle = PickleWriter(), archives = [ZipWriter(), ZipWriter()]
        pickle.op("}")
        pickle.string("a")
        pickle.tensor(key: "0", count: 2, shape: [2])
        pickle.op("s")
        let folder = try TemporaryFolder(), values: [Float] = [3, -1], words = ["little", "big"]
        for (index, word) in words.enumerated() {
            archives[index].add("x/data.pkl", pickle.finished())
            archives[index].add("x/byteorder", Array(word.utf8))
            archives[index].add("x/data/0", values.withUnsafeBytes(Array.init))
        }
        let old = [true, false].map { legacy(pickle.finished(), storages: [("0", values)], isLittleEndian: $0) }
        for (little, big) in [(archives[0].finished(), archives[1].finished()), (old[0], old[1])] {
            #expect(try Checkpoint(path: try folder.write("little.pt", little)).tensors["a"]?.floats() == values)
            let reason = failure { _ = try Checkpoint(path: try folder.write("big.pt", big)) }
            #expect(reason?.contains("its tensors are not little-endian") == true, "\(reason ?? "accepted")")
        }
    }

    @Test func storagesThatAreThereTwiceAreRefused() throws {
        var pickle = PickleWriter()
        pickle.op("}")
        pickle.string("a")
        pickle.tensor(key: "0", count: 1, shape: [1])
        pickle.op("s")
        let folder = try TemporaryFolder()
        let path = try folder.write("a.pt", legacy(pickle.finished(), storages: [("0", [1]), ("0", [2])]))
        #expect(failure { _ = try Checkpoint(path: path) }?.contains("storage 0 is there twice") == true)
    }

    @Test func aCommentBehindAnArchiveIsNoMatter() throws {
        var state = StateDictionary()
        state["w"] = ([2], .floats([1, 2]))
        var bytes = state.zip()
        bytes[bytes.count - 2] = 7
        let folder = try TemporaryFolder()
        #expect(try Checkpoint(path: try folder.write("a.pt", bytes + Array("comment".utf8))).tensors["w"]?.floats() == [1, 2])
    }

    @Test func encryptedArchivesAreRefused() throws {
        var state = StateDictionary()
        state["w"] = ([2], .floats([1, 2]))
        var bytes = state.zip()
        let entry = try #require(Data(bytes).firstRange(of: [0x50, 0x4B, 0x01, 0x02])).lowerBound
        bytes[entry + 8] = 1
        let folder = try TemporaryFolder()
        let reason = failure { _ = try Checkpoint(path: try folder.write("a.pt", bytes)) }
        #expect(reason?.contains("model/data.pkl is encrypted") == true, "\(reason ?? "accepted")")
    }

    @Test func refusesLargeSafetensorsHeaders() throws {
        let folder = try TemporaryFolder(), entry = #"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#
        func reason(_ bytes: Int) throws -> String? {
            let header = entry + String(repeating: " ", count: bytes - entry.utf8.count)
            return failure { _ = try Checkpoint(path: try folder.write("w.safetensors", safetensors(header, data: 4))) }
        }
        #expect(try reason(1_048_576) == nil)
        #expect(
            try reason(1_048_577) == "\(folder.path("w.safetensors")): safetensors header: 1048577 bytes, expected at most 1048576")
    }

    @Test func refusesTooManyDimensions() throws {
        let folder = try TemporaryFolder()
        func reason(_ dimensions: Int) throws -> String? {
            let shape = repeatElement("1", count: dimensions).joined(separator: ",")
            let bytes = safetensors(#"{"w":{"dtype":"F32","shape":[\#(shape)],"data_offsets":[0,4]}}"#, data: 4)
            return failure { _ = try Checkpoint(path: try folder.write("a.safetensors", bytes)) }
        }
        #expect(try reason(8) == nil)
        for dimensions in [9, 500_000] {
            #expect(try reason(dimensions) == "\(folder.path("a.safetensors")): w has \(dimensions) dimensions, expected at most 8")
        }
    }

    @Test func elementsThatAreNotReadAreNamed() throws {
        let folder = try TemporaryFolder()
        let known = #""b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#
        let other = #""model.a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[4,5]}"#
        let read = "read are float16, bfloat16, float32, float64, uint8, int8, int16, int32, int64, bool"
        let path = try folder.write("a.safetensors", safetensors("{\(known),\(other)}", data: 5))
        // As long as nobody asks for it, it may be there.
        let checkpoint = try Checkpoint(path: path)
        #expect(Array(checkpoint.tensors.keys) == ["b"])
        let expected = "\(path): a has elements of type F8_E4M3; \(read)"
        #expect(failure { _ = try checkpoint.tensor("a", shape: [1]) } == expected)
        #expect(failure { _ = try checkpoint.tensor("c", shape: [1]) }?.contains("c is missing") == true)
        #expect(failure { try checkpoint.checkElements(under: ["c", "a"]) } == expected)
        #expect(failure { try checkpoint.checkElements(under: ["b", "model.a"]) } == nil)
        let only = try folder.write("b.safetensors", safetensors("{\(other)}", data: 5))
        #expect(failure { _ = try Checkpoint(path: only) } == expected.replacingOccurrences(of: "a.safetensors", with: "b.safetensors"))

        var pickle = PickleWriter(), archive = ZipWriter()
        pickle.op("}")
        for (name, storage) in [("a", "ComplexFloatStorage"), ("b", "FloatStorage")] {
            pickle.string(name)
            pickle.tensor(key: "0", count: 1, shape: [1], storage: storage)
            pickle.op("s")
        }
        archive.add("x/data.pkl", pickle.finished())
        archive.add("x/data/0", [UInt8](repeating: 0, count: 8))
        let torch = try Checkpoint(path: try folder.write("a.pt", archive.finished()))
        #expect(Array(torch.tensors.keys) == ["b"])
        #expect(
            failure { _ = try torch.tensor("a", shape: [1]) }
                == "\(folder.path("a.pt")): a has elements of type torch.ComplexFloatStorage; \(read)")
    }

    @Test func refusesOddArchives() throws {
        let folder = try TemporaryFolder()
        var state = StateDictionary()
        state["w"] = ([2], .floats([1, 2]))
        var compressed = ZipWriter(), without = ZipWriter(), twice = ZipWriter(), two = ZipWriter()
        compressed.add("a/data.pkl", [1, 2, 3], method: 8)
        without.add("a/else", [1, 2, 3])
        for name in ["a/x", "a/x"] { twice.add(name, []) }
        for name in ["a/data.pkl", "b/data.pkl"] { two.add(name, []) }
        for (archive, words) in [
            (compressed, "a/data.pkl is compressed (method 8)"), (without, "0 entries data.pkl"), (twice, "a/x is there twice"),
            (two, "2 entries data.pkl"),
        ] {
            let reason = failure { _ = try Checkpoint(path: try folder.write("odd.pt", archive.finished())) }
            #expect(reason?.contains(words) == true, "\(reason ?? "accepted")")
        }
    }
}
