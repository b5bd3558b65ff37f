import Converters
import Foundation
import Testing

@Suite struct VerificationTests {
    let folder: TemporaryFolder
    let bytes: [UInt8]
    let header: GGUF.Header
    let start: Int

    init() throws {
        folder = try TemporaryFolder()
        let path = folder.path("model.gguf")
        _ = try SmallModel().conversion(folder).run(output: path)
        bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
        (header, start) = try GGUF.Header.read(try MappedFile(path: path))
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
        for (index, tensor) in header.tensors.enumerated() {
            var damaged = bytes
            damaged[start + tensor.offset + index * 37 % tensor.bytes] ^= 1 << UInt8(index % 8)
            #expect(try damage(damaged) == [tensor.name])
        }
    }

    @Test func findsAFlippedBitInThePadding() throws {
        for tensor in header.tensors {
            let end = start + tensor.offset + tensor.bytes
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
        let chosen = [header.tensors[3], header.tensors[60]]
        for tensor in chosen { damaged[start + tensor.offset] ^= 0x80 }
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
            (Array("not a model, but long enough to be read as one".utf8), "is not a GGUF file"),
            (little(UInt32(0x4655_4747)) + little(UInt32(2)) + [UInt8](repeating: 0, count: 64), "version 2"),
            (file(tensors: .max, values: 0, []), "tensors cannot fit"), (file(tensors: 0, values: .max, []), "metadata values cannot fit"),
            (file(tensors: 0, values: 1, little(UInt64.max)), "ends early"),
            (file(tensors: 0, values: 1, text("k") + little(UInt32(9)) + little(UInt32(4)) + little(UInt64.max)), "values of k cannot fit"),
            (file(tensors: 0, values: 1, text("k") + little(UInt32(9)) + little(UInt32(9))), "unknown kind 9"),
            (file(tensors: 0, values: 1, text("k") + little(UInt32(77))), "unknown kind 77"),
            (file(tensors: 0, values: 2, alignment + alignment), "general.alignment is there twice"),
            (file(tensors: 0, values: 0, []), "general.alignment is not 64"),
            (file(tensors: 1, values: 1, alignment + tensor("t", [1 << 40, 1 << 40])), "t is larger than the file"),
            (file(tensors: 1, values: 1, alignment + tensor("t", [UInt64.max])), "t is larger than the file"),
            (file(tensors: 1, values: 1, alignment + tensor("t", [0])), "t is larger than the file"),
            (file(tensors: 1, values: 1, alignment + tensor("t", [])), "t has 0 dimensions"),
            (file(tensors: 1, values: 1, alignment + tensor("t", [1, 1, 1, 1, 1])), "t has 5 dimensions"),
            (file(tensors: 1, values: 1, alignment + tensor("t", [4], type: 2)), "t has the unknown type 2"),
            (file(tensors: 1, values: 1, alignment + tensor("t", [4], type: 8)), "not whole blocks of 32"),
            (file(tensors: 1, values: 1, alignment + tensor("t", [4], offset: .max)), "t lies at"),
            (file(tensors: 2, values: 1, alignment + tensor("t", [4]) + tensor("t", [4], offset: 64)), "t is there twice"),
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
            try? FileManager.default.removeItem(atPath: folder.path("export.gguf"))
            #expect(folder.contents.filter { $0.hasPrefix("export") }.isEmpty)
        }
    }
}
