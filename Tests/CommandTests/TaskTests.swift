import Foundation
import ImageFiles
import Testing

/// The tasks that draw, ask, classify, continue and rank, on the demonstration model.
@Suite(.serialized) struct TaskTests {
    struct Drawn: Decodable {
        let prompt: String
        let indices: [Int]
        let png: String
    }

    static func drawings() throws -> [Drawn] {
        try JSONDecoder().decode([Drawn].self, from: Data(contentsOf: Project.golden.appending(path: "t2i.json")))
    }

    private let apple = Project.sample("train_1f34e_noto.png")

    private func tokens(_ run: Command) throws -> [[Int]] {
        try run.objects().map { try #require($0["tokens"] as? [Int]) }
    }

    @Test func greedyDrawingsAreTheReferences() throws {
        let folder = try TemporaryFolder()
        for reference in try Self.drawings() {
            let output = folder.file("drawn.png").path
            let run = try Command.run(
                ["draw", reference.prompt, "--greedy", "--json", "-o", output, "--model", try Project.model()])
            #expect(run.status == 0 && run.messages.isEmpty, "\(run.messages)")
            let object = try #require(try run.objects().first)
            #expect(object["prompt"] as? String == reference.prompt)
            #expect(object["file"] as? String == output)
            #expect(object["tokens"] as? [Int] == reference.indices, "\(reference.prompt)")
            let picture = try Picture(path: output)
            let expected = try Picture(path: Project.golden.appending(path: reference.png).path)
            try #require(picture.width == expected.width && picture.height == expected.height)
            let difference = zip(picture.pixels, expected.pixels).map { abs(Int($0) - Int($1)) }.max() ?? 255
            #expect(difference <= 1, "\(reference.prompt): a pixel differs by \(difference)")
        }
        #expect(try folder.names() == ["drawn.png"])
    }

    @Test func severalDrawingsHaveFilesOfTheirOwnAndAContactSheet() throws {
        let folder = try TemporaryFolder()
        let arguments = ["draw", "кошка", "-n", "3", "--seed", "1", "--json", "--model", try Project.model(), "-o"]
        let run = try Command.run(arguments + ["cats.png"], folder: folder.url)
        #expect(run.status == 0, "\(run.messages)")
        #expect(try run.objects().map { $0["file"] as? String } == ["cats-1.png", "cats-2.png", "cats-3.png"])
        #expect(try folder.names() == ["cats-1.png", "cats-2.png", "cats-3.png", "cats.png"])
        let sheet = try Picture(path: folder.file("cats.png").path)
        #expect((sheet.width, sheet.height) == (2 * 64 + 3 * 2, 2 * 64 + 3 * 2))
        let second = try Picture(path: folder.file("cats-2.png").path)
        for row in [0, 31, 63] {
            let start = ((2 + row) * sheet.width + 64 + 4) * 3
            #expect(sheet.pixels[start..<(start + 192)] == second.pixels[(row * 192)..<(row * 192 + 192)], "row \(row)")
        }

        // The same seed, other batches, one thread.
        let again = try Command.run(arguments + ["again.png", "--batch", "1", "--threads", "1"], folder: folder.url)
        #expect(try tokens(run) == tokens(again))
        #expect(Set(try tokens(run)).count == 3)
    }

    @Test func candidatesAreRankedByTheText() throws {
        let folder = try TemporaryFolder()
        let model = try Project.model()
        let arguments = ["draw", "кошка", "--seed", "5", "--json", "--model", model, "-o"]
        let all = try Command.run(arguments + ["all.png", "-n", "5"], folder: folder.url)
        let best = try Command.run(arguments + ["best.jpg", "-n", "2", "--candidates", "5"], folder: folder.url)
        #expect(best.status == 0, "\(best.messages)")
        let scores = try best.objects().map { try #require($0["score"] as? Double) }
        #expect(scores.count == 2 && scores[0] <= scores[1])
        let drawn = try tokens(all)
        for tokens in try tokens(best) { #expect(drawn.contains(tokens)) }
        #expect(try Data(contentsOf: folder.file("best-1.jpg")).starts(with: [0xff, 0xd8, 0xff]))
    }

    @Test func guidanceChangesWhatIsDrawn() throws {
        let folder = try TemporaryFolder()
        let arguments = ["draw", "кошка", "--seed", "2", "--json", "-o", "x.png", "--model", try Project.model()]
        var found: [[Int]] = []
        for more in [[], ["--guided"], ["--guidance", "0.2"], ["--guidance", "0.9"], ["--guidance-mode", "logits"], ["--guidance", "0"]] {
            let run = try Command.run(arguments + more, folder: folder.url)
            #expect(run.status == 0, "\(more) \(run.messages)")
            found += try tokens(run)
        }
        try #require(found.count == 6)
        #expect(found[1] == found[2])
        #expect(found[0] != found[3] && found[1] != found[3])
        #expect(found[1] != found[4])
    }

    @Test func whatIsToBeKeptOfAPictureIsKept() throws {
        let folder = try TemporaryFolder()
        let model = try Project.model()
        let whole = try #require(try tokens(try Command.run(["encode", apple, "--json", "--model", model])).first)
        let arguments = ["draw", "кошка", "--seed", "2", "--json", "-o", "x.png", "--model", model, "--inpaint", apple]
        let kept = try #require(try tokens(try Command.run(arguments + ["--keep", "up=3,left=1"], folder: folder.url)).first)
        for index in 0..<64 where index / 8 < 3 || index % 8 < 1 { #expect(kept[index] == whole[index], "token \(index)") }
        #expect(kept != whole)
        let cropped = try #require(try tokens(try Command.run(arguments + ["--keep", "up=3,left=1", "--crop-first"], folder: folder.url)).first)
        #expect(cropped.prefix(24) != kept.prefix(24))
        let all = try #require(try tokens(try Command.run(arguments + ["--keep", "up=8"], folder: folder.url)).first)
        #expect(all == whole)

        // White on the right half of a mask.
        let picture = try Picture(path: apple)
        var mask = [UInt8](repeating: 0, count: picture.pixels.count)
        for index in mask.indices where index / 3 % picture.width >= picture.width / 2 { mask[index] = 255 }
        try Picture(width: picture.width, height: picture.height, pixels: mask).write(path: folder.file("mask.png").path)
        let masked = try #require(try tokens(try Command.run(arguments + ["--keep-mask", "mask.png"], folder: folder.url)).first)
        for index in 0..<64 where index % 8 >= 4 { #expect(masked[index] == whole[index], "token \(index)") }
        #expect(masked != whole)
    }

    @Test func tokensBecomePictures() throws {
        struct Reference: Decodable { let indices: [Int] }
        let folder = try TemporaryFolder()
        let model = try Project.model()
        let references = try JSONDecoder().decode([Reference].self, from: Data(contentsOf: Project.golden.appending(path: "images.json")))
        let lines = references.prefix(2).map { "{\"tokens\": \($0.indices)}\n" }.joined()
        let several = try Command.run(["decode", "--tokens", "-", "-o", "x.png", "--model", model], input: Data(lines.utf8), folder: folder.url)
        #expect(several.text == "x-1.png\nx-2.png\n", "\(several.messages)")
        for index in 0..<2 {
            let picture = try Picture(path: folder.file("x-\(index + 1).png").path)
            let expected = try Picture(path: Project.golden.appending(path: "img0\(index)_recon.png").path)
            #expect((zip(picture.pixels, expected.pixels).map { abs(Int($0) - Int($1)) }.max() ?? 255) <= 1)
        }
        let sheet = try Picture(path: folder.file("x.png").path)
        #expect((sheet.width, sheet.height) == (2 * 64 + 3 * 2, 64 + 2 * 2))
        // A dot that begins a name begins no extension, nor does one of a folder.
        try FileManager.default.createDirectory(at: folder.file("a.b"), withIntermediateDirectories: true)
        for name in ["a.b/.x", "a.b/y"] {
            let run = try Command.run(["decode", "--tokens", "-", "-o", name, "--model", model], input: Data(lines.utf8), folder: folder.url)
            #expect(run.text == "\(name)-1\n\(name)-2\n", "\(run.text)\(run.messages)")
        }
        let list = Data("\(references[0].indices)".utf8)
        let one = try Command.run(["decode", "--tokens", "-", "-o", "y.png", "--json", "--model", model], input: list, folder: folder.url)
        #expect(try tokens(one) == [references[0].indices])
        #expect(try Data(contentsOf: folder.file("y.png")) == Data(contentsOf: folder.file("x-1.png")))
    }

    @Test func previewsSuitTheTerminal() throws {
        let folder = try TemporaryFolder()
        let arguments = ["draw", "кошка", "--greedy", "-o", "x.png", "--preview", "--quiet", "--model", try Project.model()]
        for (environment, start) in [
            (["TERM": "xterm-kitty"], "\u{1b}_Ga=T,f=24,s=64,v=64,"), (["TERM": "xterm", "TERM_PROGRAM": "mintty"], "\u{1b}P0;1;0q\"1;1;"),
            (["TERM": "xterm-256color", "COLORTERM": "truecolor"], "\u{1b}[38;2;"), (["TERM": "xterm"], "\u{1b}[38;5;"),
            (["TERM": "screen", "TERM_PROGRAM": "WezTerm"], "\u{1b}[38;5;"),
        ] {
            let all = ["TERM_PROGRAM": "", "COLORTERM": ""].merging(environment) { $1 }
            let run = try Command.run(arguments, environment: all, folder: folder.url)
            #expect(run.status == 0 && run.messages.hasPrefix(start), "\(environment): \(run.messages.prefix(40).debugDescription)")
            #expect(run.text == "x.png\n")
        }
    }

    @Test func questionsAreAnswered() throws {
        let model = try Project.model()
        let seen = try Command.run(["ask", apple, "что на картинке?", "--greedy", "--json", "--model", model])
        let object = try #require(try seen.objects().first)
        #expect(object["image"] as? String == apple && object["question"] as? String == "что на картинке?")
        #expect((object["answer"] as? String)?.isEmpty == false)
        // Begin and <RT_UNK>.
        #expect((object["ids"] as? [Int])?.prefix(2) == [2, 2049], "\(seen.text)")

        let arguments = ["ask", "--text", "Сколько?", "--seed", "3", "--candidates", "4", "--json", "--all", "--model", model]
        let first = try Command.run(arguments), second = try Command.run(arguments)
        #expect(first.text == second.text && first.status == 0, "\(first.messages)")
        let counts = (try first.objects().first?["candidates"] as? [[String: Any]])?.compactMap { $0["count"] as? Int } ?? []
        #expect(counts.reduce(0, +) == 4 && counts == counts.sorted(by: >), "\(counts)")

        let tasks = try Command.run(
            ["ask", apple, "Что?", "--left-task", "LT_I2T", "--right-task", "<RT_I2T>", "--greedy", "--json", "--model", model])
        #expect((try tasks.objects().first?["ids"] as? [Int])?.prefix(2) == [2, 2053], "\(tasks.messages)")
    }

    @Test func aCaptionCanBeOrderedByCount() throws {
        let arguments = ["caption", apple, "--candidates", "4", "--seed", "1", "--json", "--all", "--model", try Project.model()]
        let counted = try #require(try Command.run(arguments + ["--rank", "count"]).objects().first)
        #expect(counted["score"] == nil && counted["text_perplexity"] == nil)
        let ranked = try #require(try Command.run(arguments + ["--rank", "image", "--left-text", "Что это?"]).objects().first)
        #expect(ranked["score"] is Double && ranked["text_perplexity"] is Double, "\(ranked)")
    }

    @Test func classesAreOrderedByTheirScores() throws {
        let model = try Project.model()
        let arguments = ["classify", apple, "красное яблоко", "кошка", "синий автобус", "--model", model]
        let object = try #require(try Command.run(arguments + ["--json"]).objects().first)
        #expect(object["class"] as? String == "красное яблоко")
        let classes = try #require(object["classes"] as? [[String: Any]])
        let scores = classes.compactMap { $0["score"] as? Double }
        #expect(scores.count == 3 && scores == scores.sorted() && abs(scores.reduce(0, +) - 1) < 1e-4, "\(scores)")
        let text = try Command.run(arguments + ["--right-template", "на картинке {}"])
        #expect(text.lines.count == 3 && text.lines[0].hasPrefix("красное яблоко: score 0."), "\(text.text)\(text.messages)")
    }

    @Test func textsAreContinuedAndDrawn() throws {
        let folder = try TemporaryFolder()
        let model = try Project.model()
        let arguments = ["complete", "Красное", "--candidates", "6", "--seed", "1", "--temperature", "2", "--json", "--all", "--model", model]
        let run = try Command.run(arguments + ["--draw", "apple.png"], folder: folder.url)
        #expect(run.status == 0, "\(run.messages)")
        let object = try #require(try run.objects().first)
        let text = try #require(object["text"] as? String)
        #expect(text.hasPrefix("красное"))
        let candidates = try #require(object["candidates"] as? [[String: Any]])
        let perplexities = candidates.compactMap { $0["perplexity"] as? Double }
        #expect(perplexities.count == candidates.count && perplexities == perplexities.sorted())
        #expect(candidates.compactMap { $0["count"] as? Int }.reduce(0, +) == 6)
        #expect((object["tokens"] as? [Int])?.count == 64 && object["file"] as? String == "apple.png")
        let drawn = try Command.run(["draw", text, "--seed", "1", "-o", "same.png", "--model", model], folder: folder.url)
        #expect(drawn.status == 0)
        #expect(try Data(contentsOf: folder.file("apple.png")) == Data(contentsOf: folder.file("same.png")))

        let allowed = try Command.run(["complete", "красное", "--greedy", "--json", "--allowed", "278,158,3", "--model", model])
        let ids = try #require(try allowed.objects().first?["ids"] as? [Int])
        let prompt = try #require(try Command.run(["tokenize", "красное", "--json", "--model", model]).objects().first?["ids"] as? [Int])
        #expect(ids.starts(with: [2] + ids[1..<2] + prompt))
        #expect(Set(ids.dropFirst(2 + prompt.count)).isSubset(of: [278, 158, 3]), "\(ids)")
    }

    @Test func theMostProbableTextIsDrawnTheMostProbableWay() throws {
        let folder = try TemporaryFolder()
        let model = try Project.model()
        let text = try Command.run(["complete", "красное", "--greedy", "--draw", "x.png", "--model", model], folder: folder.url)
        let drawn = try Command.run(["draw", try #require(text.lines.first), "--greedy", "-o", "y.png", "--model", model], folder: folder.url)
        #expect(text.status == 0 && drawn.status == 0, "\(text.messages)\(drawn.messages)")
        #expect(try Data(contentsOf: folder.file("x.png")) == Data(contentsOf: folder.file("y.png")))
    }

    /// Each by itself leaves the most probable token alone, where the others let through what they can.
    @Test(arguments: [["--top-k", "1"], ["--top-k", "0", "--top-p", "0"], ["--top-k", "0", "--top-p", "1", "--temperature", "0.000001"]])
    func eachSamplingOptionIsFollowed(options: [String]) throws {
        let arguments = ["complete", "кот", "--candidates", "8", "--seed", "1", "--all", "--json", "--model", try Project.model()]
        func different(_ options: [String]) throws -> Int {
            try #require(try Command.run(arguments + options).objects().first?["candidates"] as? [Any]).count
        }
        let wide = options.contains("--temperature") ? [] : ["--temperature", "3"]
        #expect(try different(options + wide) == 1)
        #expect(try different(["--top-k", "0", "--top-p", "1", "--temperature", "3"]) > 4)
    }

    @Test func optionsOfTheModelAreFollowed() throws {
        // Of integers, without --model.
        func perplexity(_ options: [String]) throws -> Double {
            let run = try Command.run(["classify", apple, "кошка", "--json"] + options)
            return try #require((try run.objects().first?["classes"] as? [[String: Any]])?.first?["perplexity"] as? Double, "\(run.messages)")
        }
        let usual = try perplexity([])
        for options in [["--kv", "f16"], ["--activations", "int16"], ["--left-template", "{}"], ["--right-template", "это {}"]] {
            #expect(try perplexity(options) != usual, "\(options)")
        }
    }

    /// The same task tokens and texts: the same answer.
    @Test func leftTextsOfCaptionsAreQuestions() throws {
        let model = try Project.model()
        let question = "какого цвета предмет?"
        let caption = try Command.run(["caption", apple, "--left-text", question, "--greedy", "--model", model])
        let tokens = ["--left-task", "LT_I2T", "--right-task", "RT_I2T"]
        let answer = try Command.run(["ask", apple, question, "--greedy", "--model", model] + tokens)
        #expect(caption.status == 0 && caption.text == answer.text, "\(caption.text)\(answer.text)\(answer.messages)")
        #expect(try Command.run(["caption", apple, "--greedy", "--model", model]).text != caption.text)
        let drawn = ["ask", apple, question, "--seed", "1", "--temperature", "3", "--top-k", "0", "--top-p", "1", "--model", model]
        let (known, unknown) = (try Command.run(drawn + tokens), try Command.run(drawn + ["--right-task", "RT_I2T"]))
        #expect(known.status == 0 && unknown.status == 0 && known.text != unknown.text, "\(known.text)\(known.messages)\(unknown.messages)")
    }

    /// The text is there, whatever becomes of its picture.
    @Test func aTextIsPrintedThoughItsPictureFails() throws {
        let arguments = ["complete", "красное", "--greedy", "--model", try Project.model()]
        for more in [[], ["--json"], ["--all"]] {
            let text = try Command.run(arguments + more)
            let run = try Command.run(arguments + more + ["--draw", "/dev/full"])
            #expect(run.status == 1 && run.messages == "Error: /dev/full: No space left on device\n", "\(run.messages)")
            #expect(run.text == text.text && run.text.contains("красное"), "\(run.text)")
        }
    }

    @Test func picturesAreOrderedByAText() throws {
        let model = try Project.model()
        let pictures = ["train_1f333_noto.png", "train_1f34e_noto.png", "train_1f419_twemoji.png", "train_1f34e_noto.png"].map(Project.sample)
        let run = try Command.run(["rank", "красное яблоко", "--json", "--model", model] + pictures)
        #expect(run.status == 0, "\(run.messages)")
        let objects = try run.objects()
        #expect(objects.first?["image"] as? String == apple)
        #expect(objects.compactMap { $0["image"] as? String }.sorted() == pictures.sorted())
        // Most of them the best: the median is the minimum.
        let equal = try Command.run(["rank", "красное яблоко", apple, pictures[0], apple, "--json", "--model", model]).objects()
        #expect(equal.compactMap { $0["image"] as? String } == [apple, apple, pictures[0]])
        let scores = equal.compactMap { $0["score"] as? Double }
        #expect(scores.count == 3 && scores[0] == scores[1] && scores[1] < scores[2], "\(equal)")
        let partial = try Command.run(["rank", "красное яблоко", "/missing.png", apple, "--model", model])
        #expect(partial.status == 1 && partial.text == "0.0000 \(apple)\n" && partial.messages.contains("/missing.png"), "\(partial.messages)")
    }

    @Test func batchesAreAccountedFor() throws {
        let model = try Project.model()
        func batch(_ count: Int) throws -> [String: Any] {
            try #require(try Command.run(["info", model, "--batch", "\(count)", "--json"]).objects().first?["batch"] as? [String: Any])
        }
        let (four, eight) = (try batch(4), try batch(8))
        for key in ["caption_cache_bytes", "drawing_cache_bytes", "whole_drawing_cache_bytes"] {
            let bytes = try #require(four[key] as? Int)
            #expect(bytes > 0 && eight[key] as? Int == 2 * bytes, "\(key)")
        }
        // 8 layers of 64 positions of 256 f16 values, keys and values.
        #expect(four["whole_drawing_cache_bytes"] as? Int == 4 * 8 * 64 * 256 * 4)
        #expect(try #require(four["drawing_cache_bytes"] as? Int) < 4 * 8 * 64 * 256 * 4)
        #expect(try Command.run(["info", model, "--batch", "48"]).text.contains("48 drawings"))
        // Few drawings leave room for the image decoder, which comes after them.
        let one = try #require(try Command.run(["info", model, "--batch", "1", "--threads", "1", "--json"]).objects().first)
        let drawing = try #require((one["batch"] as? [String: Any])?["drawing_needed_bytes"] as? Int)
        let parts = try #require(one["parts"] as? [[String: Any]])
        let sizes = parts.filter { $0["name"] as? String != "image encoder" }.compactMap { $0["bytes"] as? Int }
        let buffers = ["transformer_buffer_bytes", "cache_bytes", "image_decoder_buffer_bytes"].compactMap { one[$0] as? Int }
        #expect(buffers.count == 3 && drawing == (sizes + buffers).reduce(0, +))
        // With --kv int8 a position takes a byte for each of 256 elements and a float for each of 4 heads, for keys and for values.
        let int8 = try #require(try Command.run(["info", model, "--batch", "4", "--kv", "int8", "--json"]).objects().first)
        #expect((int8["batch"] as? [String: Any])?["whole_drawing_cache_bytes"] as? Int == 4 * 8 * 64 * (256 + 4 * 4) * 2)
        #expect(int8["cache_bytes"] as? Int == 8 * 128 * (256 + 4 * 4) * 2)
        // Direct products need no room for transformed tiles.
        let encoder = try ["winograd", "direct"].map { way in
            try #require(try Command.run(["info", model, "--image-arithmetic", way, "--json"]).objects().first?["image_encoder_buffer_bytes"] as? Int)
        }
        #expect(encoder[1] < encoder[0])
        let unknown = try Command.run(["info", model, "--kv", "int4"])
        #expect(unknown.status == 64 && unknown.messages.contains("'f16' and 'int8'"), "\(unknown.messages)")
    }

    @Test func masksAreTheReferences() throws {
        let folder = try TemporaryFolder()
        let run = try Command.run(["masks", "-o", "masks.png", "--json", "--model", try Project.model()], folder: folder.url)
        let object = try #require(try run.objects().first)
        let positions = 128, scale = 2, size = positions * scale, gap = 8
        let picture = try Picture(path: folder.file("masks.png").path)
        try #require(picture.width == 4 * (size + 2) + 5 * gap && picture.height == size + 2 + 2 * gap)
        for (index, name) in ["row", "col", "conv", "last_conv"].enumerated() {
            // A header of 128 bytes, then [128, 128] bytes or floats.
            let file = [UInt8](try Data(contentsOf: Project.golden.appending(path: "\(name)_mask.npy")))
            let header = 10 + Int(file[8]) + 256 * Int(file[9])
            let width = (file.count - header) / (positions * positions)
            let expected = (0..<(positions * positions)).map { file[(header + $0 * width)..<(header + $0 * width + width)].contains { $0 != 0 } }
            var wrong = 0
            for query in 0..<positions {
                for key in 0..<positions {
                    let x = gap + index * (size + 2 + gap) + 1 + key * scale, y = gap + 1 + query * scale
                    // What is seen is dark.
                    if (picture.pixels[3 * (y * picture.width + x)] < 128) != expected[query * positions + key] { wrong += 1 }
                }
            }
            #expect(wrong == 0, "\(name): \(wrong) pairs differ")
            #expect((object["seen"] as? [Int])?[index] == expected.count { $0 })
        }
        for preset in ["350M", "2.7B"] {
            let drawn = try Command.run(["masks", "--preset", preset, "-o", "preset.png"], folder: folder.url)
            #expect(drawn.status == 0 && drawn.messages.isEmpty, "\(drawn.messages)")
            let kept = Project.folder.appending(path: "Docs/masks-\(preset).png").path
            #expect(try Picture(path: folder.file("preset.png").path) == Picture(path: kept), "\(preset)")
        }
    }

    @Test func jpegFilesAreCloseToTheirPixels() throws {
        let picture = try Picture(path: apple)
        let decoded = try Picture(bytes: try picture.jpegData(), name: "jpeg")
        #expect(decoded.width == picture.width && decoded.height == picture.height)
        var error = 1
        for (found, expected) in zip(decoded.pixels, picture.pixels) { error += (Int(found) - Int(expected)) * (Int(found) - Int(expected)) }
        let ratio: Double = 10 * log10(Double(255 * 255 * picture.pixels.count) / Double(error))
        #expect(ratio > 35, "\(ratio) dB")
        #expect(try picture.jpegData(quality: 20).count < picture.jpegData(quality: 95).count)
    }
}
