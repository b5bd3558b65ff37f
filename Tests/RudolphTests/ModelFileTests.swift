import Foundation
import Testing

@testable import Rudolph

/// Files that are damaged, foreign or made to mislead: an error that names the file, never a crash.
@Suite struct ModelFileTests {
    /// A file of its own, removed with the object.
    final class Scratch {
        let path = FileManager.default.temporaryDirectory.appending(path: "rudolph-model-\(UUID().uuidString).gguf").path

        init(_ bytes: Data) throws { try bytes.write(to: URL(filePath: path)) }

        deinit { try? FileManager.default.removeItem(atPath: path) }

        func handle() throws -> FileHandle { try FileHandle(forUpdating: URL(filePath: path)) }
    }

    /// The parts of a model file's header, to be changed and written again.
    struct Header {
        struct Tensor {
            var name: Data
            var dimensions: [UInt64]
            var type: UInt32
            var offset: UInt64
        }

        var version: UInt32 = 3
        /// Key, and the bytes of type and value.
        var metadata: [(key: Data, value: Data)] = []
        var tensors: [Tensor] = []
        var tensorCount: UInt64? = nil
        var metadataCount: UInt64? = nil
        /// Bytes of the file up to its data.
        private(set) var size = 0

        init(_ file: Data) {
            var offset = 8
            func number<T: FixedWidthInteger>(_ type: T.Type) -> T {
                defer { offset += MemoryLayout<T>.size }
                return file.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: T.self) }
            }
            func text() -> Data {
                let count = Int(number(UInt64.self))
                defer { offset += count }
                return file.subdata(in: offset..<(offset + count))
            }
            let tensors = number(UInt64.self), entries = number(UInt64.self)
            let sizes: [UInt32: Int] = [0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8]
            for _ in 0..<entries {
                let key = text()
                let start = offset
                switch number(UInt32.self) {
                case 8: _ = text()
                case 9:
                    let type = number(UInt32.self)
                    let count = Int(number(UInt64.self))
                    if type == 8 { for _ in 0..<count { _ = text() } } else { offset += count * (sizes[type] ?? 0) }
                case let type: offset += sizes[type] ?? 0
                }
                metadata.append((key, file.subdata(in: start..<offset)))
            }
            for _ in 0..<tensors {
                let name = text()
                let rank = number(UInt32.self)
                let dimensions = (0..<rank).map { _ in number(UInt64.self) }
                self.tensors.append(Tensor(name: name, dimensions: dimensions, type: number(UInt32.self), offset: number(UInt64.self)))
            }
            size = (offset + 63) / 64 * 64
        }

        static func little<T: FixedWidthInteger>(_ value: T) -> Data { withUnsafeBytes(of: value.littleEndian) { Data($0) } }
        static func text(_ bytes: Data) -> Data { little(UInt64(bytes.count)) + bytes }

        func data() -> Data {
            var out = Data("GGUF".utf8) + Self.little(version)
            out += Self.little(tensorCount ?? UInt64(tensors.count)) + Self.little(metadataCount ?? UInt64(metadata.count))
            for entry in metadata { out += Self.text(entry.key) + entry.value }
            for tensor in tensors {
                out += Self.text(tensor.name) + Self.little(UInt32(tensor.dimensions.count))
                for dimension in tensor.dimensions { out += Self.little(dimension) }
                out += Self.little(tensor.type) + Self.little(tensor.offset)
            }
            return out + Data(count: (64 - out.count % 64) % 64)
        }

        mutating func set(_ key: String, _ value: Data) {
            for index in metadata.indices where metadata[index].key == Data(key.utf8) { metadata[index].value = value }
        }

        mutating func set(_ key: String, u32 value: UInt32) { set(key, Self.little(UInt32(4)) + Self.little(value)) }
        mutating func set(_ key: String, text: String) { set(key, Self.little(UInt32(8)) + Self.text(Data(text.utf8))) }
        mutating func set(_ key: String, list: [UInt32], count: UInt64? = nil) {
            set(key, list.reduce(Self.little(UInt32(9)) + Self.little(UInt32(4)) + Self.little(count ?? UInt64(list.count))) { $0 + Self.little($1) })
        }

        /// Lengthens a list of numbers.
        mutating func append(_ key: String, _ numbers: [UInt32]) {
            for index in metadata.indices where metadata[index].key == Data(key.utf8) {
                let value = [UInt8](metadata[index].value)
                let count = value[8..<16].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                let longer = Data(value[..<8]) + Self.little(count + UInt64(numbers.count)) + Data(value[16...])
                metadata[index].value = numbers.reduce(longer) { $0 + Self.little($1) }
            }
        }

        mutating func tensor(_ name: String, _ change: (inout Tensor) -> Void) {
            for index in tensors.indices where tensors[index].name == Data(name.utf8) { change(&tensors[index]) }
        }
    }

    static func original() throws -> Data { try Data(contentsOf: URL(filePath: Demo.path(.int4))) }

    @Test func everyTruncationIsRefused() throws {
        let file = try Self.original()
        let scratch = try Scratch(file)
        let handle = try scratch.handle()
        var lengths = Array(stride(from: file.count - 1, to: 4096, by: -65536))
        // The last tensor ends with the file, so a single byte less must already be noticed.
        lengths += [file.count - 64, Header(file).size, Header(file).size - 1]
        lengths += Array(0...4096)
        for length in lengths.sorted(by: >) {
            try handle.truncate(atOffset: UInt64(length))
            let message = message { _ = try Model(path: scratch.path) }
            #expect(message.hasPrefix(scratch.path), "\(length) bytes: \(message)")
        }
    }

    @Test func whatIsNoModelIsRefused() throws {
        let folder = FileManager.default.temporaryDirectory.path
        for path in [folder, "/nonexistent/model.gguf", "/dev/null"] {
            let message = message { _ = try Model(path: path) }
            #expect(message.hasPrefix("\(path): "), "\(message)")
        }
        #expect(message { _ = try Model(path: "") } == "an empty name for a file to read")
        let checkpoint = Golden.checkpoint.appending(path: "bpe.model").path
        #expect(message { _ = try Model(path: checkpoint) }.contains("not a model file"))
    }

    typealias Change = @Sendable (inout Header) -> Void

    static let changes: [(name: String, change: Change, expected: String)] = [
        ("version", { $0.version = 2 }, "GGUF version 2, expected 3"),
        ("tensor count", { $0.tensorCount = .max }, "claims 18446744073709551615 tensors"),
        (
            "tensor count just above",
            {
                $0.tensorCount = UInt64($0.tensors.count) + 1
                // Enough padding behind the header to be read as a tensor without a name.
                var name = "x"
                while $0.data().suffix(24).contains(where: { $0 != 0 }) {
                    name += "x"
                    $0.set("general.name", text: name)
                }
            }, "has 0 dimensions, expected 1 to 4"
        ),
        ("metadata count", { $0.metadataCount = .max }, "claims 18446744073709551615 metadata entries"),
        ("metadata count below", { $0.metadataCount = UInt64($0.metadata.count) - 1 }, "tensor rudolph.sha256.header has 8 dimensions"),
        ("metadata count zero", { $0.metadataCount = 0 }, "general.alignment is missing"),
        ("key twice", { $0.metadata.append($0.metadata[0]) }, "occurs twice"),
        ("key not UTF-8", { $0.metadata[1].key = Data([0xff, 0xfe]) }, "not valid UTF-8"),
        ("value not UTF-8", { $0.set("general.name", Header.little(UInt32(8)) + Header.text(Data([0xd0]))) }, "not valid UTF-8"),
        ("endless text", { $0.set("general.name", Header.little(UInt32(8)) + Header.little(UInt64.max)) }, "claims 18446744073709551615 bytes"),
        ("unknown value type", { $0.set("general.name", Header.little(UInt32(13))) }, "type 13, which is not known"),
        (
            "list of lists",
            { $0.set("rudolph.tokenizer.rules", Header.little(UInt32(9)) + Header.little(UInt32(9)) + Header.little(UInt64(1))) },
            "type 9, which is not known"
        ),
        ("endless list", { $0.set("rudolph.tokenizer.rules", list: [], count: 1 << 62) }, "claims 4611686018427387904 elements"),
        ("texts beyond the end", {
            $0.set("rudolph.packed.names", Header.little(UInt32(9)) + Header.little(UInt32(8)) + Header.little(UInt64(1) << 60))
        }, "claims"),
        ("more tensors than there can be", { $0.tensorCount = 1 << 17 }, "131072 tensors, expected at most 65536"),
        ("more entries than there can be", { $0.metadataCount = 1 << 13 }, "8192 metadata entries, expected at most 4096"),
        (
            "longer text than there can be", { $0.set("general.name", Header.little(UInt32(8)) + Header.little(UInt64(1) << 21)) },
            "expected at most 1048576"
        ),
        ("more texts than there can be", {
            $0.set("rudolph.packed.names", Header.little(UInt32(9)) + Header.little(UInt32(8)) + Header.little(UInt64(1) << 17))
        }, "131072 texts in rudolph.packed.names, expected at most 65536"),
        (
            "size of a packed tensor", { $0.tensor("transformer.layers.0.mlp.dense_h_to_4h.weight") { $0.dimensions[0] -= 64 } },
            "of type 24 (i8) for 1024 x 256 int4"
        ),
        ("unknown packed shapes", { $0.append("rudolph.packed.rows", [1]) }, "differ in length"),
        ("tokenizer of more ids", { $0.append("rudolph.tokenizer.rules", [4, 5, 2048]) }, "expected at most 2048"),
        ("alignment", { $0.set("general.alignment", u32: 32) }, "general.alignment is 32, expected 64"),
        ("architecture", { $0.set("general.architecture", text: "llama") }, "architecture llama, expected rudolph"),
        ("format version", { $0.set("rudolph.format_version", u32: 3) },
         "rudolph.format_version is 3, expected 2 for int4: a newer version of this program reads it"),
        ("old format", { $0.set("rudolph.format_version", u32: 1) },
         "rudolph.format_version is 1, expected 2 for int4: convert the checkpoint again"),
        ("weight type", { $0.set("rudolph.weight_type", text: "int3") }, "int3"),
        ("no layers", { $0.set("rudolph.layers", u32: 0) }, "rudolph.layers is 0, expected 1 to 1024"),
        ("more layers", { $0.set("rudolph.layers", u32: 9) }, "transformer.layers.8.input_layernorm.weight is missing"),
        ("text instead of a number", { $0.set("rudolph.layers", text: "8") }, "the number rudolph.layers is missing"),
        ("negative number", { $0.set("rudolph.heads", Header.little(UInt32(5)) + Header.little(Int32(-4))) }, "rudolph.heads is -4"),
        ("large number", { $0.set("rudolph.heads", Header.little(UInt32(10)) + Header.little(UInt64.max)) }, "rudolph.heads is too large"),
        ("heads", { $0.set("rudolph.heads", u32: 3) }, "no multiple of the 3 heads"),
        ("hidden size", { $0.set("rudolph.hidden_size", u32: 128) }, "expected"),
        ("left text", { $0.set("rudolph.left_text_length", u32: 33) }, "expected"),
        ("image side", { $0.set("rudolph.image_tokens_per_side", u32: 9) }, "image_row_embeddings.weight"),
        ("right text", { $0.set("rudolph.right_text_length", u32: 31) }, "r_text_pos_embeddings.weight"),
        ("text vocabulary", { $0.set("rudolph.text_vocabulary_size", u32: 2047) }, "expected"),
        ("text specials", { $0.set("rudolph.text_special_tokens", u32: 2) }, "task token"),
        ("codes", { $0.set("rudolph.image_vocabulary_size", u32: 1023) }, "1024 codes but the transformer 1023"),
        ("task token ids", { $0.set("rudolph.task_tokens.ids", list: [2048]) }, "6 names of task tokens but 1 ids"),
        ("task token outside", { $0.set("rudolph.task_tokens.ids", list: [0, 1, 2, 3, 4, 5]) }, "has id 0, expected 2048 to 2063"),
        ("channels", { $0.set("rudolph.vqgan.channels", u32: 48) }, "expected a multiple of the 32 groups"),
        ("output channels", { $0.set("rudolph.vqgan.out_channels", u32: 4) }, "rudolph.vqgan.out_channels is 4"),
        ("wavelet channels", { $0.set("rudolph.vqgan.out_channels", u32: 12) }, "vqgan.decoder.conv_out"),
        ("no levels", { $0.set("rudolph.vqgan.channel_multipliers", list: []) }, "has 0 levels, expected 1 to 8"),
        ("multiplier", { $0.set("rudolph.vqgan.channel_multipliers", list: [1, 0, 2, 4]) }, "contains 0, expected 1 to 64"),
        ("attention level", { $0.set("rudolph.vqgan.attention_levels", list: [4]) }, "contains 4, expected less than 4"),
        ("attention levels", { $0.set("rudolph.vqgan.attention_levels", list: [2, 3]) }, "is missing"),
        ("rules", { $0.set("rudolph.tokenizer.rules", list: [1, 2]) }, "2 numbers in the merge rules"),
        ("rules of unknown ids", { $0.set("rudolph.tokenizer.rules", list: [.max, .max, .max]) }, "merge rule 0 uses id 4294967295"),
        ("codepoint ids", { $0.set("rudolph.tokenizer.codepoint_ids", list: [1]) }, "96 characters with 1 ids"),
        ("end id", { $0.set("rudolph.tokenizer.eos_id", u32: 1 << 30) }, "rudolph.tokenizer.eos_id is 1073741824"),
        ("no calibration", { $0.set("rudolph.calibration.positions", u32: 0) }, "rudolph.calibration.positions is 0, expected 1 to"),
        ("packed rows", { $0.set("rudolph.packed.rows", list: [1]) }, "differ in length"),
        ("rank", { $0.tensor("text_embeddings.weight") { $0.dimensions = [256, 2096, 1, 1, 1] } }, "5 dimensions, expected 1 to 4"),
        ("no rank", { $0.tensor("text_embeddings.weight") { $0.dimensions = [] } }, "0 dimensions, expected 1 to 4"),
        ("empty dimension", { $0.tensor("text_embeddings.weight") { $0.dimensions = [256, 0] } }, "a dimension of 0"),
        ("large dimension", { $0.tensor("text_embeddings.weight") { $0.dimensions = [.max] } }, "a dimension of 18446744073709551615"),
        ("overflowing size", { $0.tensor("text_embeddings.weight") { $0.dimensions = [1 << 40, 1 << 40] } }, "overflows"),
        ("overflowing bytes", { $0.tensor("l_text_pos_embeddings.weight") { $0.dimensions = [1 << 62] } }, "overflows"),
        ("part of a block", { $0.tensor("text_embeddings.weight") { $0.dimensions = [255, 2096] } }, "no whole blocks of 32"),
        ("tensor type", { $0.tensor("text_embeddings.weight") { $0.type = 2 } }, "has type 2, expected"),
        ("another type", { $0.tensor("l_text_pos_embeddings.weight") { $0.type = 1 } }, "l_text_pos_embeddings.weight"),
        ("offset", { $0.tensor("text_embeddings.weight") { $0.offset += 4 } }, "expected a multiple of 64"),
        ("offset beyond", { $0.tensor("text_embeddings.weight") { $0.offset = 1 << 40 } }, "ends past the end of the file"),
        ("overflowing offset", { $0.tensor("text_embeddings.weight") { $0.offset = UInt64.max - 63 } }, "ends past the end of the file"),
        ("tensor twice", { $0.tensors.append($0.tensors[0]) }, "occurs twice"),
        ("tensor missing", { $0.tensor("text_embeddings.weight") { $0.name = Data("text".utf8) } }, "the tensor text_embeddings.weight is missing"),
        ("tensor name not UTF-8", { $0.tensors[3].name = Data([0xc0, 0x80]) }, "not valid UTF-8"),
        ("shape", { $0.tensor("text_embeddings.weight") { $0.dimensions = [512, 1048] } }, "expected [256, 2096]"),
        (
            "keys and values", { $0.tensor("captions.left_text.keys_values") { $0.dimensions.swapAt(1, 3) } },
            "captions.left_text.keys_values has dimensions"
        ),
        (
            "scales of keys and values", { $0.tensor("captions.left_text.scales") { $0.dimensions.swapAt(0, 2) } },
            "captions.left_text.scales has dimensions"
        ),
    ]

    /// A list that is as long as one may be leaves no room for its own key.
    @Test func textsAndListsAreLimitedTogether() throws {
        var bytes = Data("GGUF".utf8) + Header.little(UInt32(3)) + Header.little(UInt64(0)) + Header.little(UInt64(1))
        bytes += Header.text(Data("list".utf8)) + Header.little(UInt32(9)) + Header.little(UInt32(4)) + Header.little(UInt64(1) << 24)
        let file = try Scratch(bytes)
        try file.handle().truncate(atOffset: UInt64(bytes.count) + 64 << 20)
        let found = message { _ = try Model(path: file.path) }
        #expect(found == "\(file.path): list makes 67108884 bytes of texts and lists, expected at most 67108864")
    }

    /// What an int8 file does not say of the activations of its left text was computed with 16 bits, before there was a choice.
    @Test func theLeftTextsActivationsAreKnown() throws {
        let key = "rudolph.left_text.activations"
        let file = try Data(contentsOf: URL(filePath: Demo.path(.int8)))
        let header = Header(file)
        func model(_ change: (inout Header) -> Void) throws -> (Model, Scratch) {
            var changed = header
            change(&changed)
            let scratch = try Scratch(changed.data() + file.dropFirst(header.size))
            return (try Model(path: scratch.path), scratch)
        }
        for precision in ActivationPrecision.allCases {
            #expect(try model { $0.set(key, text: precision.name) }.0.captionLeftText?.precision == precision)
        }
        let count = header.metadata.count
        let (old, scratch) = try model { $0.metadata.removeAll { String(decoding: $0.key, as: UTF8.self) == key } }
        #expect(Header(try Data(contentsOf: URL(filePath: scratch.path))).metadata.count == count - 1)
        #expect(old.captionLeftText?.precision == .int16)
        let message = message { _ = try model { $0.set(key, text: "int5") } }
        #expect(message.hasSuffix("\(key) is int5, expected int8, mixed or int16"), "\(message)")
        #expect(try Demo.session(.int4).model.captionLeftText?.precision == nil)
    }

    @Test func everyFalseStatementIsRefused() throws {
        let file = try Self.original()
        let header = Header(file)
        #expect(header.data() == file.prefix(header.size), "the header is not understood")
        for (name, change, expected) in Self.changes {
            var changed = header
            change(&changed)
            let scratch = try Scratch(changed.data() + file.dropFirst(header.size))
            let message = message { _ = try Model(path: scratch.path) }
            #expect(message.hasPrefix(scratch.path) && message.contains(expected), "\(name): \(message)")
        }
        // Every key and every tensor is needed, but for what only describes the file, the image decoder as a whole and what can be computed.
        for index in header.metadata.indices {
            let key = String(decoding: header.metadata[index].key, as: UTF8.self)
            if key.hasPrefix("rudolph.sha256.") || key.hasPrefix("rudolph.calibration.") { continue }
            var changed = header
            changed.metadata.remove(at: index)
            let scratch = try Scratch(changed.data() + file.dropFirst(header.size))
            let message = message { _ = try Model(path: scratch.path) }
            #expect(message.hasPrefix(scratch.path) && message.contains(key), "without \(key): \(message)")
        }
        for index in header.tensors.indices {
            let name = String(decoding: header.tensors[index].name, as: UTF8.self)
            if name == "vqgan.decoder.conv_in.weight" || name == FileSchema.captionLeftText { continue }
            var changed = header
            changed.tensors[index].name += Data("_".utf8)
            let scratch = try Scratch(changed.data() + file.dropFirst(header.size))
            let message = message { _ = try Model(path: scratch.path) }
            #expect(message.hasPrefix(scratch.path) && message.contains(name), "without \(name): \(message)")
        }
    }

    /// Lists and texts of which each is allowed, in a sparse file: their sum is not.
    @Test(arguments: [
        ("lists of texts", UInt32(8), 1 << 16, 8, 64), ("lists of bytes", 0, 1 << 24, 1, 4), ("lists of numbers", 4, 1 << 22, 4, 4),
        ("texts", nil, 1 << 20, 1, 64),
    ] as [(String, UInt32?, Int, Int, Int)])
    func endlessSumsAreRefused(name: String, elementType: UInt32?, count: Int, bytesEach: Int, entries: Int) throws {
        let scratch = try Scratch(Data("GGUF".utf8) + Header.little(UInt32(3)) + Header.little(UInt64(0)) + Header.little(UInt64(entries)))
        let handle = try scratch.handle()
        var size = try handle.seekToEnd()
        for index in 0..<entries {
            try handle.seek(toOffset: size)
            let type = elementType.map { Header.little(UInt32(9)) + Header.little($0) } ?? Header.little(UInt32(8))
            try handle.write(contentsOf: Header.text(Data("\(index)".utf8)) + type + Header.little(UInt64(count)))
            size = try handle.offset() + UInt64(count * bytesEach)
        }
        try handle.truncate(atOffset: size)
        let found = message { _ = try Model(path: scratch.path) }
        #expect(found.hasPrefix("\(scratch.path): \(entries - 1) makes ") && found.hasSuffix("expected at most 67108864"), "\(name): \(found)")
        // One entry less would do.
        try handle.seek(toOffset: 16)
        try handle.write(contentsOf: Header.little(UInt64(entries - 1)))
        #expect(message { _ = try Model(path: scratch.path) }.hasSuffix("general.alignment is missing"), "\(name)")
    }

    @Test func withoutADecoderCaptionsGoOn() throws {
        let file = try Self.original()
        var header = Header(file)
        let size = header.size
        header.tensors.removeAll { String(decoding: $0.name, as: UTF8.self).hasPrefix("vqgan.decoder.") }
        let scratch = try Scratch(header.data() + file.dropFirst(size))
        let session = try Session(try Model(path: scratch.path), threads: 1)
        let image = try #require(try Golden.images().first)
        #expect(try Captioner(session).captions(of: try Golden.picture(image.png), .greedy).count == 1)
        #expect(message { _ = try session.image(of: image.indices) }.contains("has no image decoder"))
        #expect(session.model.summary(threads: 1).imageDecoderBytes == 0)
    }

    /// Bytes of the header changed at random: an error, or a model that runs without a crash.
    @Test func changedBytesNeverCrash() throws {
        let file = try Self.original()
        let scratch = try Scratch(file)
        let handle = try scratch.handle()
        let header = Header(file)
        // Digits of checksums and the tokenizer's lists are most of the header; half of the flips go to the rest.
        var interesting: [Int] = []
        var offset = 24
        for entry in header.metadata {
            let size = 8 + entry.key.count + entry.value.count
            if entry.value.count < 2048 { interesting += offset..<(offset + size) }
            offset += size
        }
        interesting += offset..<header.size
        interesting += 0..<24
        var generator = RandomGenerator(seed: 2026)
        func random(_ limit: Int) -> Int { Int(generator.next() % UInt64(limit)) }
        let image = try #require(try Golden.images().first)
        let picture = try Golden.picture(image.png)
        var opened = 0, refused = 0, ran = 0
        for flip in 0..<2000 {
            let place = flip % 2 == 0 ? interesting[random(interesting.count)] : random(header.size)
            let change = flip % 3 == 0 ? UInt8(1 << random(8)) : UInt8(1 + random(255))
            try handle.seek(toOffset: UInt64(place))
            try handle.write(contentsOf: Data([file[place] ^ change]))
            do throws(RudolphError) {
                let model = try Model(path: scratch.path)
                opened += 1
                // A model that opens must also run: its numbers are in range.
                if opened % 4 == 0 {
                    let session = try Session(model, threads: 1)
                    _ = try Captioner(session).captions(of: picture, .greedy)
                    _ = try session.image(of: try session.imageTokens(of: picture))
                    ran += 1
                }
            } catch {
                refused += 1
                #expect(!error.message.isEmpty)
            }
            try handle.seek(toOffset: UInt64(place))
            try handle.write(contentsOf: Data([file[place]]))
        }
        print("2000 changed bytes: \(refused) refused, \(opened) opened, \(ran) of them run")
        #expect(refused > 300 && ran > 30)
        _ = try Model(path: scratch.path)
    }

    /// What a file says does not command the terminal of whoever reads the message.
    @Test func messagesShowControlCharacters() throws {
        let file = try Self.original()
        let header = Header(file)
        let evil = "\u{1b}[2J\u{9b}31m\r\n\u{7f}"
        let shown = #"\u{1b}[2J\u{9b}31m\u{d}\u{a}\u{7f}"#
        let changes: [(name: String, change: (inout Header) -> Void)] = [
            ("architecture", { $0.set("general.architecture", text: evil) }),
            ("weight type", { $0.set("rudolph.weight_type", text: evil) }),
            ("key", { $0.metadata.append((Data(evil.utf8), Header.little(UInt32(13)))) }),
            ("tensor", { $0.tensors[0].name = Data(evil.utf8); $0.tensors[0].type = 99 }),
            (
                "task token",
                {
                    $0.set("rudolph.task_tokens.names", Header.little(UInt32(9)) + Header.little(UInt32(8)) + Header.little(UInt64(1))
                        + Header.text(Data(evil.utf8)))
                    $0.set("rudolph.task_tokens.ids", list: [0])
                }
            ),
        ]
        for (name, change) in changes {
            var changed = header
            change(&changed)
            let scratch = try Scratch(changed.data() + file.dropFirst(header.size))
            let message = message { _ = try Model(path: scratch.path) }
            #expect(message.contains(shown), "\(name): \(message.debugDescription)")
            #expect(message.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }, "\(name)")
        }
    }
}
