import Foundation
import ImageFiles
import Rudolph
import Testing

/// What the commands print for good input, against the reference's values in Tests/Golden.
@Suite(.serialized) struct ResultTests {
    struct Reference: Decodable {
        let from_sample: String
        let indices: [Int]
        let caption: String
        let caption_ids: [Int]
        let template_caption: String
        let template_caption_ids: [Int]
    }

    static func references() throws -> [Reference] {
        try JSONDecoder().decode([Reference].self, from: Data(contentsOf: Project.golden.appending(path: "images.json")))
    }

    @Test func captionsAreTheReferences() throws {
        let references = try Self.references()
        let paths = references.map { Project.sample($0.from_sample) }
        let model = try Project.model()
        let plain = try Command.run(["caption", "--model", model, "--greedy", "--json"] + paths)
        #expect(plain.status == 0 && plain.messages.isEmpty, "\(plain.messages)")
        let template = try Command.run(["caption", "--model", model, "--greedy", "--json", "--template", "на картинке"] + paths)
        let (plainObjects, templateObjects) = (try plain.objects(), try template.objects())
        try #require(plainObjects.count == references.count && templateObjects.count == references.count)
        for (index, reference) in references.enumerated() {
            let (object, templateObject) = (plainObjects[index], templateObjects[index])
            #expect(object["image"] as? String == paths[index])
            #expect(object["caption"] as? String == reference.caption, "\(reference.from_sample)")
            #expect(object["ids"] as? [Int] == reference.caption_ids, "\(reference.from_sample)")
            #expect(templateObject["caption"] as? String == reference.template_caption, "\(reference.from_sample)")
            #expect(templateObject["ids"] as? [Int] == reference.template_caption_ids, "\(reference.from_sample)")
        }
    }

    @Test func imageTokensAreTheReferences() throws {
        let references = try Self.references()
        let run = try Command.run(
            ["encode", "--json", "--model", try Project.model()] + references.map { Project.sample($0.from_sample) })
        #expect(run.status == 0, "\(run.messages)")
        let objects = try run.objects()
        try #require(objects.count == references.count)
        for (object, reference) in zip(objects, references) {
            #expect(object["image"] as? String == Project.sample(reference.from_sample))
            #expect(object["tokens"] as? [Int] == reference.indices, "\(reference.from_sample)")
        }
        let sample = Project.sample(references[0].from_sample)
        let unknown = try Command.run(["encode", sample, "--image-arithmetic", "slow"])
        #expect(unknown.status == 64 && unknown.messages.contains("'fast', 'winograd' or 'direct'"), "\(unknown.messages)")
    }

    /// Each way of `--image-arithmetic` gives what the library gives with it. Of these pictures and sequences some tell the ways apart.
    @Test func imageArithmeticIsAsSaid() throws {
        let folder = try TemporaryFolder()
        let path = try Project.model(), model = try Model(path: path)
        let packed = Project.folder.appending(path: "Models/demo/rudolph-demo-int8.gguf").path
        let sequences = try Self.references().map(\.indices)
        let pictures = [Project.sample("train_1f34e_noto.png"), Project.pictures.appending(path: "grey16.png").path]

        func encoded(_ options: [String]) throws -> [[Int]] {
            try Command.run(["encode", "--json"] + pictures + options).objects().map { try #require($0["tokens"] as? [Int]) }
        }
        func decoded(_ options: [String]) throws -> [[UInt8]] {
            let input = Data(sequences.map { "\($0)\n" }.joined().utf8)
            let run = try Command.run(["decode", "--tokens", "-", "-o", "x.png"] + options, input: input, folder: folder.url)
            return try run.lines.map { try Picture(path: folder.file($0).path).pixels }
        }
        var tokens: [ImageArithmetic: [[Int]]] = [:], pixels: [ImageArithmetic: [[UInt8]]] = [:]
        for way in ImageArithmetic.allCases {
            let session = try Session(model, imageArithmetic: way), options = ["--model", path, "--image-arithmetic", way.name]
            tokens[way] = try pictures.map { picture in
                let picture = try Picture(path: picture)
                return try session.imageTokens(of: RGBImage(width: picture.width, height: picture.height, pixels: picture.pixels))
            }
            pixels[way] = try sequences.map { try session.image(of: $0).pixels }
            #expect(try encoded(options) == tokens[way], "\(way)")
            #expect(try decoded(options) == pixels[way], "\(way)")
            // As do the commands that use the whole model.
            let drawn = try Command.run(["draw", "кошка", "--greedy", "-o", "drawn.png", "--json"] + options, folder: folder.url)
            let image = try session.image(of: try #require(drawn.objects().first?["tokens"] as? [Int]))
            #expect(try Picture(path: folder.file("drawn.png").path).pixels == image.pixels, "\(way)")
        }
        #expect(pixels[.winograd] != pixels[.direct])
        #expect((pixels[.fast] != pixels[.winograd]) == ImageArithmetic.fast.hasIntegerProducts)
        #expect(tokens[.winograd] == tokens[.direct])
        #expect((tokens[.fast] != tokens[.winograd]) == ImageArithmetic.fast.hasIntegerProducts)
        for (file, way) in [(path, ImageArithmetic.winograd), (packed, .fast)] {
            #expect(try encoded(["--model", file]) == tokens[way], "\(file)")
            #expect(try decoded(["--model", file]) == pixels[way], "\(file)")
        }
    }

    @Test(arguments: [Command.rudolph, Command.quantizer])
    func theVersionIsPrinted(program: URL) throws {
        let run = try Command.run(["--version"], program: program)
        #expect(run.status == 0 && run.text.wholeMatch(of: /\d+\.\d+\.\d+\n/) != nil && run.messages.isEmpty, "\(run.text)\(run.messages)")
    }

    @Test func oneCaptionIsPrintedAloneAndSeveralWithTheirNames() throws {
        let model = try Project.model()
        let apple = Project.sample("train_1f34e_noto.png"), banana = Project.sample("train_1f34c_openmoji.png")
        let one = try Command.run(["caption", apple, "--greedy", "--model", model])
        #expect(one.text == "красное яблоко\n")
        let two = try Command.run(["caption", apple, banana, "--greedy", "--model", model])
        #expect(two.text == "\(apple): красное яблоко\n\(banana): банан\n")
    }

    @Test func aPictureCanBePipedIn() throws {
        let model = try Project.model()
        let path = Project.sample("train_1f34e_noto.png")
        let piped = try Command.shell("cat \"$1\" | \"$0\" caption - --greedy --json --model \"$2\"", [path, model])
        #expect(piped.status == 0, "\(piped.messages)")
        let object = try #require(try piped.objects().first)
        #expect(object["image"] as? String == "-")
        #expect(object["caption"] as? String == "красное яблоко")
        let file = try Command.run(
            ["caption", "-", "--greedy", "--model", model], input: try Data(contentsOf: URL(filePath: path)))
        #expect(file.text == "красное яблоко\n")
    }

    @Test func aSeedGivesTheSameCaptions() throws {
        let arguments = [
            "caption", Project.sample("heldout_1f99d_noto.png"), "--seed", "7", "--candidates", "6", "--temperature", "1.5", "--top-p", "0.95",
            "--top-k", "100", "--all", "--json", "--model", try Project.model(),
        ]
        let first = try Command.run(arguments), second = try Command.run(arguments + ["--threads", "1"])
        #expect(first.status == 0, "\(first.messages)")
        #expect(first.text == second.text)
        let object = try #require(try first.objects().first)
        let candidates = try #require(object["candidates"] as? [[String: Any]])
        #expect(candidates.compactMap { $0["count"] as? Int }.reduce(0, +) == 6)
        #expect(candidates.first?["text"] as? String == object["caption"] as? String)
        #expect(candidates.allSatisfy { ($0["text"] as? String ?? "").hasPrefix("на картинке") })
    }

    @Test func textsBecomeIDsAndPieces() throws {
        struct Golden: Decodable {
            struct Entry: Decodable {
                let text: String
                let ids: [Int]
                let subwords: [String]
            }
            let strings: [Entry]
        }
        let golden = try JSONDecoder().decode(Golden.self, from: Data(contentsOf: Project.golden.appending(path: "bpe.json"))).strings
        var input = Data()
        for entry in golden {
            try input.append(JSONSerialization.data(withJSONObject: ["text": entry.text]))
            input.append(UInt8(ascii: "\n"))
        }
        let run = try Command.run(["tokenize", "--input", "-", "--json", "--model", try Project.model()], input: input)
        #expect(run.status == 0, "\(run.messages)")
        struct Tokens: Decodable {
            let text: String
            let ids: [Int]
            let pieces: [String]
        }
        let tokens = try run.lines.map { try JSONDecoder().decode(Tokens.self, from: Data($0.utf8)) }
        try #require(tokens.count == golden.count)
        for (found, entry) in zip(tokens, golden) {
            #expect(found.text == entry.text)
            #expect(found.ids == entry.ids, "\(entry.text)")
            #expect(found.pieces == entry.subwords, "\(entry.text)")
        }
    }

    @Test func jsonStringsAreEscapedAndNothingElse() throws {
        let text = "\"a\\b\"/\t\u{1}\u{7f}ё🙂"
        let run = try Command.run(["tokenize", "--json", "--model", try Project.model(), text])
        #expect(run.text.hasPrefix(#"{"text": "\"a\\b\"/\t\u0001\u007fё🙂", "ids": ["#), "\(run.text)")
        #expect(try run.objects().first?["text"] as? String == text)
    }

    /// Neither by JSON nor by its pieces does a text command the terminal.
    @Test func piecesShowControlCharacters() throws {
        let text = "кот\u{1b}\u{9b}кот\u{7f}"
        let json = try Command.run(["tokenize", "--json", "--model", try Project.model(), text])
        #expect(json.text.contains(#"кот\u001b\u009bкот\u007f"#), "\(json.text)")
        #expect(try json.objects().first?["text"] as? String == text)
        let run = try Command.run(["tokenize", "--model", try Project.model(), text])
        #expect(run.text.contains(#"\u{1b}"#) && run.text.contains(#"\u{9b}"#), "\(run.text)")
        #expect(run.text.unicodeScalars.allSatisfy { "\t\n".unicodeScalars.contains($0) || $0.properties.generalCategory != .control })
    }

    /// A file's name neither commands the terminal nor makes lines of its own.
    @Test func resultsShowControlCharactersOfNames() throws {
        let folder = try TemporaryFolder()
        let picture = "\u{1b}[2J\n.png", model = "\u{1b}[2J.gguf", shown = #"\u{1b}[2J\u{a}.png"#
        try FileManager.default.copyItem(atPath: Project.sample("train_1f34e_noto.png"), toPath: folder.file(picture).path)
        try FileManager.default.createSymbolicLink(atPath: folder.file(model).path, withDestinationPath: try Project.model())
        for (arguments, line) in [
            (["caption", picture, picture, "--greedy"], "\(shown): красное яблоко"), (["rank", "яблоко", picture], "0.0000 \(shown)"),
            (["masks", "-o", picture], shown), (["info"], #"file          \u{1b}[2J.gguf, "#),
        ] {
            let run = try Command.run(arguments + ["--model", model], folder: folder.url)
            #expect(run.status == 0 && run.lines.first?.hasPrefix(line) == true, "\(run.text.debugDescription) \(run.messages)")
            #expect(run.text.unicodeScalars.allSatisfy { $0 == "\n" || $0.properties.generalCategory != .control }, "\(arguments)")
        }
    }

    @Test(arguments: ["caption", "ask", "classify", "rank"])
    func theHelpTellsWhatIsRead(command: String) throws {
        let help = try Command.run(["help", command]).text.split { $0.isWhitespace }.joined(separator: " ")
        #expect(help.contains("Only the central square of a picture is read."), "\(help)")
    }

    @Test func preparedPixelsAreTheReferences() throws {
        struct Reference: Decodable { let input, output: String }
        let references = try JSONDecoder().decode(
            [Reference].self, from: Data(contentsOf: Project.golden.appending(path: "preprocess.json")))
        let folder = try TemporaryFolder()
        for reference in references {
            let prepared = folder.file("prepared.ppm")
            let run = try Command.run([
                "encode", Project.golden.appending(path: reference.input).path, "--prepared-pixels", prepared.path, "--model",
                try Project.model(),
            ])
            #expect(run.status == 0, "\(run.messages)")
            let expected = try Picture(path: Project.golden.appending(path: reference.output).path)
            let header = Data("P6\n\(expected.width) \(expected.height)\n255\n".utf8)
            #expect(try Data(contentsOf: prepared) == header + Data(expected.pixels), "\(reference.input)")
        }
        #expect(try folder.names() == ["prepared.ppm"])
    }

    @Test func logitsHaveARowForEachID() throws {
        let folder = try TemporaryFolder()
        let ids = (0..<128).map { $0 < 32 || $0 >= 96 ? ($0 * 37) % 2048 : ($0 * 53) % 1024 }
        let output = folder.file("logits.f32")
        let run = try Command.run(
            ["logits", "--ids", "-", "-o", output.path, "--model", try Project.model()], input: Data("\(ids)".utf8))
        #expect(run.status == 0, "\(run.messages)")
        // 2048 pieces, 16 specials and 32 pads; 1024 codes and 16 specials.
        let bytes = try Data(contentsOf: output)
        try #require(bytes.count == 128 * (2096 + 1040) * 4)
        let logits = bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        #expect(logits.allSatisfy { $0.isFinite })
        #expect(Set(logits.prefix(3136)).count > 1000)
        #expect(try folder.names() == ["logits.f32"])
    }

    @Test func infoDescribesTheModel() throws {
        let model = try Project.model()
        let object = try #require(try Command.run(["info", model, "--json"]).objects().first)
        #expect(object["file"] as? String == model)
        #expect(object["weight_type"] as? String == "f16")
        #expect(object["layers"] as? Int == 8)
        #expect(object["image_side"] as? Int == 64)
        #expect((object["task_tokens"] as? [String: Int])?["<RT_I2T>"] == 2053)
        let size = try FileManager.default.attributesOfItem(atPath: model)[.size] as? Int
        #expect(object["file_bytes"] as? Int == size)
        let masked = try Command.run(["info", "--model", model, "--json"], environment: ["RUDOLPH_CPU": "scalar"])
        #expect(try masked.objects().first?["kernels"] as? String == "scalar")
        let environment = URL(filePath: "/usr/bin/env")
        let all = try Command.run(["-u", "RUDOLPH_CPU", Command.rudolph.path, "info", model, "--json"], program: environment).objects().first
        #expect(all?["kernels"] as? String == all?["cpu"] as? String && all?["cpu"] is String)
        // The usual caption has 48 candidates.
        let batch = try #require(try Command.run(["info", model, "--batch", "48", "--json"]).objects().first)
        let (greedy, usual) = (try #require(batch["needed_bytes"] as? Int), try #require(batch["usual_caption_needed_bytes"] as? Int))
        #expect(usual > greedy && usual == (batch["batch"] as? [String: Any])?["caption_needed_bytes"] as? Int)
        let text = try Command.run(["info", model])
        #expect(text.text.contains(" MB for a greedy caption, ") && text.text.contains(" MB for one of 48 candidates, "), "\(text.text)")
        for word in ["f16", "8 layers", "<RT_I2T> 2053", "bits/weight", "memory", "kernels"] {
            #expect(text.text.contains(word), "\(word) is not in\n\(text.text)")
        }
    }

    /// What is fast depends on the processor, not on RUDOLPH_CPU.
    @Test func infoNamesTheArithmetic() throws {
        func info(_ model: String, _ arguments: [String] = [], cpu: String = "") throws -> [String: Any] {
            let run = try Command.run(["info", model, "--json"] + arguments, environment: ["RUDOLPH_CPU": cpu])
            return try #require(try run.objects().first, "\(run.messages)")
        }
        let packed = Project.folder.appending(path: "Models/demo/rudolph-demo-int8.gguf").path
        #expect(try info(try Project.model())["image_arithmetic"] as? String == "winograd")
        let fast = try info(packed), scalar = try info(packed, cpu: "scalar")
        #expect(fast["image_arithmetic"] as? String == "fast" && scalar["image_arithmetic"] as? String == "fast")
        #expect(fast["image_products"] is String && fast["image_products"] as? String == scalar["image_products"] as? String)
        for way in ["winograd", "direct"] {
            let object = try info(packed, ["--image-arithmetic", way])
            #expect(object["image_arithmetic"] as? String == way && object["image_products"] as? String == "float")
        }
        #expect(fast["activations"] as? String == "int8")
        #expect(try info(try Project.model())["activations"] == nil)
        let mixed = try info(packed, ["--activations", "mixed"]), wide = try info(packed, ["--activations", "int16"])
        #expect(mixed["activations"] as? String == "mixed" && wide["activations"] as? String == "int16")
        let buffers = try [fast, mixed, wide].map { try #require($0["transformer_buffer_bytes"] as? Int) }
        #expect(buffers[0] < buffers[1] && buffers[1] < buffers[2])
        let text = try Command.run(["info", packed, "--image-arithmetic", "direct", "--activations", "mixed"]).text
        #expect(text.contains("\nactivations   mixed: 8 bits, 16 for the second matrix of each MLP\n"), "\(text)")
        #expect(text.contains("\nconvolutions  direct: products of floats\n"), "\(text)")
    }

    /// A model's names do not command the terminal.
    @Test func infoShowsControlCharacters() throws {
        let folder = try TemporaryFolder()
        var bytes = try Data(contentsOf: URL(filePath: try Project.model()))
        let key = try #require(bytes.range(of: Data("general.name".utf8)))
        // Behind its type and the length of the value.
        let name = key.upperBound + 12
        bytes.replaceSubrange(name..<(name + 4), with: Data("\u{1b}[\u{9b}".utf8))
        let token = try #require(bytes.range(of: Data("<RT_I2T>".utf8)))
        bytes.replaceSubrange(token, with: Data("<RT\r\n2T>".utf8))
        try bytes.write(to: folder.file("model.gguf"))
        let run = try Command.run(["info", "model.gguf"], folder: folder.url)
        #expect(run.status == 0, "\(run.messages)")
        #expect(run.text.contains("model         \\u{1b}[\\u{9b}") && run.text.contains("<RT\\u{d}\\u{a}2T> 2053"), "\(run.text)")
        #expect(run.text.unicodeScalars.allSatisfy { $0 == "\n" || $0.properties.generalCategory != .control })
    }
}
