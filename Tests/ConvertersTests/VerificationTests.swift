import Converters
import Foundation
import Rudolph
import Testing

@Suite struct VerificationTests {
    let folder: TemporaryFolder
    let bytes: [UInt8]
    let tensors: [GGUF.Tensor]
    /// Where the header ends.
    let start: Int

    init() throws {
        folder = try TemporaryFolder()
        let path = folder.path("model.gguf")
        _ = try SmallModel().conversion(folder).run(output: path)
        bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
        let file = try GGUF(MappedFile(path: path))
        tensors = file.tensors
        start = file.dataOffset
    }

    /// The damaged parts that are found in `bytes`, "header" when it cannot be read.
    func damage(_ bytes: some Sequence<UInt8>) throws -> [String] {
        let path = try folder.write("damaged.gguf", bytes)
        var parts: [String] = []
        guard let reason = failure({ parts = try Verification.run(path: path).map(\.part) }) else { return parts }
        #expect(reason.hasPrefix(path), "\(reason)")
        return ["header"]
    }

    @Test func findsAFlippedBitInEveryTensor() throws {
        for (index, tensor) in tensors.enumerated() {
            var damaged = bytes
            damaged[tensor.range.lowerBound + index * 37 % tensor.range.count] ^= 1 << UInt8(index % 8)
            #expect(try damage(damaged) == [tensor.name])
        }
    }

    @Test func findsAFlippedBitInThePadding() throws {
        for tensor in tensors {
            let end = tensor.range.upperBound
            guard end % 64 != 0 else { continue }
            var damaged = bytes
            damaged[end] ^= 0x10
            #expect(try damage(damaged) == ["padding after \(tensor.name)"])
        }
    }

    @Test func findsAFlippedBitAnywhereInTheHeader() throws {
        for position in stride(from: 0, to: start, by: start / 700 + 1) {
            var damaged = bytes
            damaged[position] ^= 1 << UInt8(position % 8)
            #expect(try damage(damaged) == ["header"], "byte \(position) of \(start)")
        }
        var padding = bytes
        padding[start - 1] ^= 1
        #expect(try damage(padding) == ["header"])
    }

    @Test func findsEveryTruncation() throws {
        for length in Array(stride(from: 0, to: bytes.count, by: bytes.count / 400 + 1)) + [bytes.count - 1] {
            #expect(try damage(bytes.prefix(length)) == ["header"], "cut to \(length) bytes")
        }
        #expect(try damage(bytes + [0]) == ["header"])
    }

    @Test func namesSeveralDamagedTensors() throws {
        var damaged = bytes
        let chosen = [tensors[3], tensors[60]]
        for tensor in chosen { damaged[tensor.range.lowerBound] ^= 0x80 }
        #expect(try damage(damaged) == chosen.map(\.name))
    }

    @Test func headersThatLieAreRefused() throws {
        func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] { PickleWriter.little(value) }
        func text(_ value: String) -> [UInt8] { little(UInt64(value.utf8.count)) + Array(value.utf8) }
        func file(tensors: UInt64, values: UInt64, _ rest: [UInt8]) -> [UInt8] {
            little(UInt32(0x4655_4747)) + little(UInt32(3)) + little(tensors) + little(values) + rest + [UInt8](repeating: 0, count: 256)
        }
        let alignment = text("general.alignment") + little(UInt32(4)) + little(UInt32(64))
        func tensor(_ name: String, _ dimensions: [UInt64], type: UInt32 = 0, offset: UInt64 = 0) -> [UInt8] {
            text(name) + little(UInt32(dimensions.count)) + dimensions.flatMap(little) + little(type) + little(offset)
        }
        for (content, words) in [
            (Array("not a model, but long enough to be read as one".utf8), "not a model file"),
            (little(UInt32(0x4655_4747)) + little(UInt32(2)) + [UInt8](repeating: 0, count: 64), "version 2"),
            (file(tensors: .max, values: 0, []), "claims 18446744073709551615 tensors"),
            (file(tensors: 0, values: .max, []), "claims 18446744073709551615 metadata entries"),
            (file(tensors: 0, values: 1, little(UInt64.max)), "claims 18446744073709551615 bytes in a metadata key"),
            (file(tensors: 0, values: 1, text("k") + little(UInt32(9)) + little(UInt32(4)) + little(UInt64.max)), "elements in k"),
            (file(tensors: 0, values: 1, text("k") + little(UInt32(9)) + little(UInt32(9))), "the list k has elements of type 9"),
            (file(tensors: 0, values: 1, text("k") + little(UInt32(77))), "k has type 77"),
            (file(tensors: 0, values: 2, alignment + alignment), "general.alignment occurs twice"),
            (file(tensors: 0, values: 0, []), "general.alignment is missing"),
            (file(tensors: 1, values: 1, alignment + tensor("t", [1 << 40, 1 << 40])), "the size of tensor t overflows"),
            (file(tensors: 1, values: 1, alignment + tensor("t", [UInt64.max])), "tensor t has a dimension of 18446744073709551615"),
            (file(tensors: 1, values: 1, alignment + tensor("t", [0])), "tensor t has a dimension of 0"),
            (file(tensors: 1, values: 1, alignment + tensor("t", [])), "t has 0 dimensions"),
            (file(tensors: 1, values: 1, alignment + tensor("t", [1, 1, 1, 1, 1])), "t has 5 dimensions"),
            (file(tensors: 1, values: 1, alignment + tensor("t", [4], type: 2)), "tensor t has type 2"),
            (file(tensors: 1, values: 1, alignment + tensor("t", [4], type: 8)), "no whole blocks of 32"),
            (file(tensors: 1, values: 1, alignment + tensor("t", [4], offset: .max)), "tensor t lies at offset"),
            (file(tensors: 1, values: 1, alignment + tensor("t", [4], offset: 64)), "t lies at byte"),
            (file(tensors: 2, values: 1, alignment + tensor("t", [4]) + tensor("t", [4], offset: 64)), "the tensor t occurs twice"),
            (file(tensors: 1, values: 1, alignment + tensor("t", [4])), "bytes, expected"),
        ] {
            let path = try folder.write("lie.gguf", content)
            let reason = failure { _ = try Verification.run(path: path) }
            #expect(reason?.contains(words) == true, "\(words): \(reason ?? "accepted")")
        }
    }

    @Test func damagedFilesNeverCrashTheExporter() throws {
        var generator = Generator(state: 3)
        for _ in 0..<300 {
            var damaged = bytes
            for _ in 0..<3 { damaged[Int.random(in: 0..<start, using: &generator)] = UInt8(truncatingIfNeeded: generator.next()) }
            let path = try folder.write("damaged.gguf", damaged)
            let reason = failure { _ = try Export.run(input: path, output: folder.path("export.gguf"), type: .f16, threads: 1) }
            #expect(reason?.hasPrefix("another error") != true, "\(reason ?? "")")
            if reason == nil { #expect(try Verification.run(path: folder.path("export.gguf")) == []) }
            try? FileManager.default.removeItem(atPath: folder.path("export.gguf"))
            #expect(folder.contents.filter { $0.hasPrefix("export") }.isEmpty)
        }
    }

    /// The numbers of the file's lists of packed tensors, of the image tokenizer, and its bytes must tell the same.
    @Test func whatDisagreesIsNotExported() throws {
        let file = try GGUF(MappedFile(path: folder.path("model.gguf")))
        let name = "vqgan.encoder.down.1.block.0.conv1.weight", names = try file.strings("rudolph.packed.names")
        let index = try #require(names.firstIndex(of: name))
        func place(_ key: String, _ offset: Int) throws -> Int {
            try #require(file.metadata.first { $0.key == key }).range.lowerBound + offset
        }
        func refusal(_ changes: [(place: Int, number: UInt32)]) throws -> String? {
            var changed = bytes
            for change in changes { changed.replaceSubrange(change.place..<change.place + 4, with: PickleWriter.little(change.number)) }
            let path = try folder.write("changed.gguf", changed)
            return failure { _ = try Export.run(input: path, output: folder.path("export.gguf"), type: .f16, threads: 1) }?
                .replacingOccurrences(of: path, with: "changed.gguf")
        }
        // Behind the type of a list are that of its elements and their number.
        let shape = [(place: try place("rudolph.packed.rows", 16 + 4 * index), number: UInt32(32)),
                     (place: try place("rudolph.packed.columns", 16 + 4 * index), number: UInt32(576))]
        #expect(
            try refusal(shape)
                == "changed.gguf: \(name) has 32 rows and 576 columns, expected 64 and 288, the shape [64, 32, 3, 3] in this image tokenizer")
        #expect(
            try refusal([(try place("rudolph.vqgan.z_channels", 4), 40)])
                == "changed.gguf: vqgan.encoder.conv_out.weight has 24 rows and 576 columns, expected 40 and 576, "
                + "the shape [40, 64, 3, 3] in this image tokenizer")
        #expect(folder.contents.filter { $0.hasPrefix("export") }.isEmpty)
        #expect(try refusal([]) == nil)
    }
}
