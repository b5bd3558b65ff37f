import Foundation
import ImageFiles
import Testing

/// What the tasks refuse, and how they are stopped.
@Suite(.serialized) struct TaskErrorTests {
    private let apple = Project.sample("train_1f34e_noto.png")

    @Test(arguments: [
        (["draw", "", "-o", "x.png"], "the text to draw is empty"), (["draw", " \n", "-o", "x.png"], "the text to draw is empty"),
        (["draw", "кот"], "Missing expected argument"), (["draw", "кот", "-o", "x.png", "-n", "0"], "--count is 0; expected 1 to 256"),
        (["draw", "кот", "-o", "x.png", "--candidates", "0"], "--candidates is 0; expected 1 to 4096"),
        (["draw", "кот", "-o", "x.png", "-n", "3", "--candidates", "2"], "expected at least the 3"),
        (["draw", "кот", "-o", "x.png", "--batch", "65"], "--batch is 65; expected 1 to 64"),
        (["draw", "кот", "-o", "x.png", "--guidance", "1.5"], "--guidance is 1.5; expected 0 to 1"),
        (["draw", "кот", "-o", "x.png", "--guidance-mode", "both"], "probabilities"),
        (["draw", "кот", "-o", "x.png", "--greedy", "--top-k", "5"], "--greedy takes the most probable tokens"),
        (["draw", "кот", "-o", "x.png", "--greedy", "-n", "2"], "--greedy draws one picture"),
        (["draw", "кот", "-o", "x.png", "--greedy", "--candidates", "2"], "--greedy draws one picture"),
        (["draw", "кот", "-o", "x.png", "--temperature", "1e-7"], "--temperature is 1e-07; expected 0.000001 or more"),
        (["draw", "кот", "-o", "x.png", "--keep", "up=1"], "expected --inpaint"),
        (["draw", "кот", "-o", "x.png", "--inpaint", "a.png"], "either --keep or --keep-mask"),
        (["draw", "кот", "-o", "x.png", "--inpaint", "a.png", "--keep", "up=1", "--keep-mask", "b.png"], "either --keep or --keep-mask"),
        (["draw", "кот", "-o", "x.png", "--inpaint", "a.png", "--keep-mask", "b.png", "--crop-first"], "expected --keep"),
        (["draw", "кот", "-o", "x.png", "--inpaint", "a.png", "--keep", ""], "--keep is \"\"; expected sides"),
        (["draw", "кот", "-o", "x.png", "--inpaint", "a.png", "--keep", "up"], "expected sides"),
        (["draw", "кот", "-o", "x.png", "--inpaint", "a.png", "--keep", "up=x"], "expected sides"),
        (["draw", "кот", "-o", "x.png", "--inpaint", "a.png", "--keep", "up=-1"], "expected sides"),
        (["draw", "кот", "-o", "x.png", "--inpaint", "a.png", "--keep", "up=1,up=2"], "expected sides"),
        (["draw", "кот", "-o", "x.png", "--inpaint", "a.png", "--keep", "top=1"], "expected sides"),
        (["ask"], "Expected a picture and a question"), (["ask", "x.png"], "Expected a picture and a question"),
        (["ask", "x.png", " "], "the question is empty"), (["ask", "--text", ""], "the text of --text is empty"),
        (["ask", "x.png", "что?", "--text", "что?"], "--text takes no picture"),
        (["ask", "--text", "что?", "--candidates", "0"], "--candidates is 0"),
        (["ask", "--text", "что?", "--greedy", "--candidates", "2"], "--greedy gives one answer"),
        (["ask", "--text", "что?", "--max-tokens", "0"], "--max-tokens is 0; expected 1 to 4096"),
        (["classify", "x.png", "кот", "--greedy"], "Unknown option '--greedy'"), (["rank", "кот", "x.png", "--greedy"], "Unknown option '--greedy'"),
        (["caption", "x.png", "--greedy", "--top-p", "0.5"], "--greedy takes the most probable tokens"),
        (["caption", "x.png", "--greedy", "--temperature", "1"], "--greedy takes the most probable tokens"),
        (["caption", "x.png", "--greedy", "--candidates", "2"], "--greedy gives one caption"),
        (["classify", "x.png"], "Missing expected argument"), (["classify", "x.png", ""], "a class is empty"),
        (["classify", "x.png", "кот", "кот"], "кот is given more than once"), (["classify", "x.png", "кот", "--right-template", "вот"], "holds {}"),
        (["complete"], "Missing expected argument"), (["complete", "кот", "--candidates", "0"], "--candidates is 0"),
        (["complete", "кот", "--greedy", "--candidates", "2"], "--greedy gives one text"), (["complete", "кот", "--preview"], "expected --draw"),
        (["complete", "кот", "--allowed", "1,x"], "expected ids such as"), (["rank", "", "x.png"], "the text is empty"),
        (["rank", "кот"], "Missing expected argument"), (["rank", "кот", "-", "-"], "- is given more than once"),
        (["answer", "x.json"], "Missing expected argument"), (["answer", "x.json", "-o", "y.json", "--batch", "0"], "--batch is 0"),
        (["masks"], "Missing expected argument"), (["masks", "-o", "x.png", "--preset", "9B"], "350M"),
        (["masks", "-o", "x.png", "--preset", "350M", "--model", "x"], "--preset needs no model"), (["info", "--batch", "0"], "--batch is 0"),
        (["decode", "-o", "x.png"], "Missing expected argument"), (["caption", "x.png", "--rank", "size"], "image"),
    ])
    func badUsageIsTold(arguments: [String], message: String) throws {
        let folder = try TemporaryFolder()
        let run = try Command.run(arguments, folder: folder.url)
        #expect(run.status == 64, "\(run.messages)")
        #expect(run.output.isEmpty && run.messages.contains(message), "\(message) is not in \(run.messages)")
        #expect(try folder.names().isEmpty)
    }

    @Test func unknownTaskTokensAreToldWithTheKnownOnes() throws {
        for arguments in [["--left-task", "LT_TQA"], ["--right-task", "<RT_XYZ>"]] {
            let run = try Command.run(["ask", "--text", "что?", "--model", try Project.model()] + arguments)
            #expect(run.status == 1 && run.output.isEmpty)
            #expect(run.messages.contains("unknown task token <") && run.messages.contains("one of <LT_UNK>, "), "\(run.messages)")
        }
    }

    @Test func whatDoesNotFitThePictureIsRefused() throws {
        let folder = try TemporaryFolder()
        let model = try Project.model()
        try Picture(width: 3, height: 2, pixels: [UInt8](repeating: 255, count: 18)).write(path: folder.file("mask.png").path)
        let picture = try Picture(path: apple)
        for (arguments, message) in [
            (["--keep-mask", "mask.png"], "mask.png: a mask of 3 x 2 pixels, expected the picture's \(picture.width) x \(picture.height)"),
            (["--keep-mask", "missing.png"], "missing.png: No such file"),
            (["--keep", "up=9"], "--keep: a border of 9 tokens, expected 0 to 8"),
        ] {
            let run = try Command.run(["draw", "кот", "-o", "x.png", "--model", model, "--inpaint", apple] + arguments, folder: folder.url)
            #expect(run.status == 1 && run.messages.contains(message), "\(message) is not in \(run.messages)")
        }
        #expect(try folder.names() == ["mask.png"])
    }

    @Test func badTokensAreRefused() throws {
        let folder = try TemporaryFolder()
        let model = try Project.model()
        let many = (0..<64).map { $0 == 5 ? 5000 : $0 }
        for (text, message) in [
            ("", "no image tokens"), ("[1, 2", "no image tokens"), ("{}", "no image tokens"), ("[1.5]", "no image tokens"),
            ("[1, 2]", "2 image tokens, expected 64"), ("\(many)", "image token 5000, expected 0 to 1023"),
            ("{\"tokens\": [1]}\nx\n", "line 2: no image tokens: no JSON from line 1, column 1 on;"), ("\(many.map { _ in -1 })", "image token -1"),
            ("\(many.map { _ in 1 })\n\n{\"tokens\": [1, 2]}\n", "line 3: 2 image tokens, expected 64"), ("[1,\n 2,\n x]", "line 3, column 2 on;"),
            ("{\"tokens\": [1, \"2\"]}", "at tokens[1]: "), ("[1]\n{\"token\": [1]}", "line 2: no image tokens: no \"tokens\";"),
        ] {
            let run = try Command.run(["decode", "--tokens", "-", "-o", "x.png", "--model", model], input: Data(text.utf8), folder: folder.url)
            #expect(run.status == 1 && run.messages.contains("standard input: ") && run.messages.contains(message), "\(text): \(run.messages)")
        }
        let allowed = try Command.run(["complete", "кот", "--allowed", "1,99999", "--model", model])
        #expect(allowed.status == 1 && allowed.messages.contains("allowed token 99999"), "\(allowed.messages)")
        #expect(try folder.names().isEmpty)
    }

    @Test func aModelWithoutImageDecoderDoesNotDraw() throws {
        let folder = try TemporaryFolder()
        var bytes = try Data(contentsOf: URL(filePath: try Project.model()))
        // Under another name the decoder's first tensor is not found.
        while let range = bytes.range(of: Data("vqgan.decoder.conv_in.weight".utf8)) {
            bytes.replaceSubrange(range, with: Data("vqgan.decodex.conv_in.weight".utf8))
        }
        try bytes.write(to: folder.file("reader.gguf"))
        try Data("{\"0\": [{\"type\": \"text\", \"content\": \"кот\"}]}".utf8).write(to: folder.file("tasks.json"))
        for arguments in [
            ["draw", "кот", "-o", "x.png"], ["decode", "--tokens", "-", "-o", "x.png"], ["complete", "кот", "--draw", "x.png"],
            ["answer", "tasks.json", "-o", "x.json"],
        ] {
            let run = try Command.run(arguments + ["--model", "reader.gguf"], input: Data("[1]".utf8), folder: folder.url)
            #expect(run.status == 1 && run.output.isEmpty)
            #expect(run.messages == "Error: reader.gguf: the model has no image decoder; it can read pictures but not draw them\n")
        }
        let caption = try Command.run(["caption", apple, "--greedy", "--model", "reader.gguf"], folder: folder.url)
        #expect(caption.text == "красное яблоко\n", "\(caption.messages)")
        #expect(try folder.names() == ["reader.gguf", "tasks.json"])
    }

    @Test func longTextsAreCutWithAWarning() throws {
        let folder = try TemporaryFolder()
        let model = try Project.model()
        let long = Array(repeating: "красное яблоко", count: 20).joined(separator: " ")
        for arguments in [
            ["draw", long, "-o", "x.png"], ["ask", apple, long, "--greedy"], ["ask", "--text", long, "--greedy"], ["classify", apple, long],
            ["rank", long, apple], ["caption", apple, "--greedy", "--left-text", long],
        ] {
            let run = try Command.run(arguments + ["--model", model], folder: folder.url)
            #expect(run.status == 0, "\(arguments[0]): \(run.messages)")
            #expect(run.messages.hasPrefix("Warning: ") && run.messages.contains("only the first 30 fit"), "\(arguments[0]): \(run.messages)")
            let quiet = try Command.run(arguments + ["--model", model, "--quiet"], folder: folder.url)
            #expect(quiet.status == 0 && quiet.messages.isEmpty, "\(arguments[0]): \(quiet.messages)")
        }
        let fitting = Array(repeating: "кот", count: 30).joined(separator: " ")
        #expect(try Command.run(["ask", "--text", fitting, "--greedy", "--model", model]).messages.isEmpty)
        let more = try Command.run(["ask", "--text", fitting + " кот", "--greedy", "--model", model])
        #expect(more.messages.contains("has 31 tokens; only the first 30 fit"), "\(more.messages)")
        let left = try Command.run(["classify", apple, "кот", "пёс", "--left-template", long, "--model", model])
        let warning = "Warning: the left text has 120 tokens; only the first 30 fit, the rest is cut\n"
        #expect(left.status == 0 && left.messages == warning, "\(left.messages)")
        let filled = try Command.run(["classify", apple, "кот", "пёс", "--left-template", "{} \(long)", "--model", model])
        #expect(filled.messages.split(separator: "\n").count == 2 && filled.messages.contains("the left text of пёс has 12"), "\(filled.messages)")
        let complete = try Command.run(["complete", long, "--greedy", "--model", model])
        let room = "Error: the text has 120 tokens; expected at most 29, which leave room for more text\n"
        #expect(complete.status == 1 && complete.messages == room, "\(complete.messages)")
    }

    /// Said once, before any picture is read.
    @Test func aTemplateWithoutRoomBehindItIsRefused() throws {
        let model = try Project.model()
        let word = try #require(try Command.run(["tokenize", "кот", "--json", "--model", model]).objects().first?["ids"] as? [Int])
        for count in [30, 31, 200] {
            let template = Array(repeating: "кот", count: count).joined(separator: " ")
            let run = try Command.run(["caption", "missing.png", apple, "--greedy", "--template", template, "--model", model])
            #expect(run.status == 1 && run.output.isEmpty)
            #expect(
                run.messages == "Error: --template has \(count * word.count) tokens; expected at most 29, which leave room for more text\n",
                "\(run.messages)")
        }
        try #require(word.count == 1)
        let longest = try Command.run(
            ["caption", apple, "--greedy", "--template", Array(repeating: "кот", count: 29).joined(separator: " "), "--model", model])
        #expect(longest.status == 0 && longest.text.hasPrefix("кот кот"), "\(longest.messages)")
    }

    /// Where memory is short a warning says so; the session is opened all the same.
    @Test(arguments: [
        (["caption", "missing.png", "--candidates", "4096"], true), (["caption", "missing.png", "--greedy"], false),
        (["ask", "missing.png", "что?", "--candidates", "4096"], true), (["ask", "missing.png", "что?"], false),
        (["complete", "кот", "--candidates", "4096", "--allowed", "99999"], true), (["complete", "кот", "--allowed", "99999"], false),
        (["caption", "missing.png", "--candidates", "4096", "--quiet"], false), (["encode", "missing.png"], false),
    ])
    func tooLittleMemoryIsWarnedOf(arguments: [String], isWarned: Bool) throws {
        let run = try Command.shell(
            "ulimit -v 900000; model=$1; shift; \"$0\" \"$@\" --model \"$model\"", [try Project.model()] + arguments)
        #expect(run.status == 1)
        let warning = run.messages.split(separator: "\n").first { $0.hasPrefix("Warning: this may need ") }
        #expect((warning?.hasSuffix("; rudolph info says what takes it") == true) == isWarned, "\(run.messages)")
        #expect(warning?.contains(" MB of memory, and 921.6 MB are available") ?? true, "\(run.messages)")
        #expect(run.messages.contains("Error: "), "\(run.messages)")
    }

    @Test func outputsAreCheckedBeforeTheWork() throws {
        let folder = try TemporaryFolder()
        // The largest name, and no room for more pictures' numbers.
        let long = String(repeating: "n", count: 251) + ".png"
        try FileManager.default.createDirectory(at: folder.file("x-2.png"), withIntermediateDirectories: true)
        try Data("[1]\n[2]\n".utf8).write(to: folder.file("tokens.jsonl"))
        for (path, message) in [(long, "n-1.png: File name too long"), ("x.png", "x-2.png: it is a directory")] {
            for arguments in [["draw", "кот", "-n", "2"], ["decode", "--tokens", "tokens.jsonl"]] {
                let run = try Command.run(arguments + ["-o", path, "--model", "/missing.gguf"], folder: folder.url)
                #expect(run.status == 1 && run.messages.contains(message), "\(arguments): \(run.messages)")
            }
        }
        try FileManager.default.createDirectory(at: folder.file("folder"), withIntermediateDirectories: true)
        for (path, message) in [
            ("missing/x.png", "missing/x.png: cannot write beside it"), ("folder", "folder: it is a directory"), ("", "an empty name"),
        ] {
            // The model is not even looked for.
            for arguments in [["draw", "кот"], ["masks"], ["decode", "--tokens", "-"], ["answer", "x.json"], ["logits", "--ids", "x.json"]] {
                let run = try Command.run(arguments + ["-o", path, "--model", "/missing.gguf"], folder: folder.url)
                #expect(run.status == 1 && run.messages.contains(message), "\(arguments): \(run.messages)")
            }
        }
    }

    /// Standard output takes pictures, and no other files.
    @Test(arguments: [["answer", "x.json", "-o"], ["logits", "--ids", "x.json", "-o"], ["complete", "кот", "--draw"]])
    func aDashIsNoNameOfAFile(arguments: [String]) throws {
        let run = try Command.run(arguments + ["-", "--model", "/missing.gguf"])
        #expect(run.status == 1 && run.messages.contains("-: expected the name of a file"), "\(run.messages)")
    }

    /// Said once, before any picture is read.
    @Test(arguments: [
        (["caption", "missing.png"], "2", "5: the text begins with 4 tokens; 2 of them are of --template"),
        (["caption", "missing.png", "--greedy", "--template", "кот"], "3", "4: the text begins with 3 tokens; 1 of them are of --template"),
        (["ask", "missing.png", "что?"], "2", "3: the text begins with 2 tokens"),
        (["ask", "--text", "что?"], "1", "3: the text begins with 2 tokens"),
        (["complete", "кот"], "3", "4: the text begins with 3 tokens; 1 of them are given"),
    ])
    func aMaximumWithoutRoomIsRefused(arguments: [String], maximum: String, message: String) throws {
        let run = try Command.run(arguments + ["--max-tokens", maximum, "--model", try Project.model()])
        #expect(run.status == 1 && run.messages == "Error: --max-tokens is \(maximum); expected at least \(message)\n", "\(run.messages)")
    }

    @Test func theSmallestMaximumIsTaken() throws {
        let model = try Project.model()
        let caption = try Command.run(["caption", apple, "--candidates", "2", "--seed", "1", "--max-tokens", "5", "--json", "--model", model])
        #expect((try caption.objects().first?["ids"] as? [Int])?.count == 5, "\(caption.messages)")
        let complete = try Command.run(["complete", "красное", "--greedy", "--max-tokens", "5", "--json", "--model", model])
        #expect((try complete.objects().first?["ids"] as? [Int])?.count == 5, "\(complete.messages)")
        let ask = try Command.run(["ask", apple, "что?", "--greedy", "--max-tokens", "3", "--json", "--model", model])
        #expect((try ask.objects().first?["ids"] as? [Int])?.count == 3, "\(ask.messages)")
    }

    /// The first Ctrl-C ends a task in good order, whatever it is doing.
    @Test(arguments: [
        ["draw", "кошка", "-n", "256", "-o", "x.png"], ["answer", "tasks.json", "-o", "x.json", "--batch", "64"],
        ["caption", "--candidates", "256", "--json"], ["complete", "кот", "--candidates", "4096"],
    ])
    func interruptsEndTasks(arguments: [String]) throws {
        let folder = try TemporaryFolder()
        let tasks = (0..<64).map { "\"\($0)\": [{\"type\": \"text\", \"content\": \"кот \($0)\"}]" }
        try Data("{\(tasks.joined(separator: ", "))}".utf8).write(to: folder.file("tasks.json"))
        let process = Process()
        process.executableURL = Command.rudolph
        // Many pictures, so that captions take long enough.
        process.arguments = arguments + (arguments[0] == "caption" ? Array(repeating: apple, count: 40) : []) + [
            "--model", try Project.model(), "--quiet",
        ]
        process.currentDirectoryURL = folder.url
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try Command.startInterruptible(process)
        try Command.waitForHandler(of: process)
        process.interrupt()
        process.waitUntilExit()
        #expect(process.terminationReason == .exit && process.terminationStatus == 130, "\(process.terminationReason) \(process.terminationStatus)")
        #expect(try folder.names() == ["tasks.json"])
    }
}
