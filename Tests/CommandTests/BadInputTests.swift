import Foundation
import Testing

/// Bad input gives a message that names it and exit code 1, bad usage exit code 64; nothing crashes and no output file is left.
@Suite(.serialized) struct BadInputTests {
    @Test func badPicturesDoNotStopTheOthers() throws {
        let folder = try TemporaryFolder()
        let good = Project.sample("train_1f34e_noto.png")
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: good)))
        var damaged = bytes
        damaged[damaged.count / 2] ^= 1
        try FileManager.default.createDirectory(at: folder.file("folder.png"), withIntermediateDirectories: true)
        let bad: [(path: String, message: String)] = [
            (try folder.write([], "empty.png"), "the file is empty"),
            (try folder.write(Array("это не картинка\n".utf8), "text.png"), "it looks like text"),
            (try folder.write(bytes.prefix(1000), "truncated.png"), "truncated PNG"),
            (try folder.write(damaged, "damaged.png"), "damaged PNG"),
            (try folder.write(pngHeader(width: 30_000, height: 30_000), "large.png"), "the picture is 30000 x 30000 pixels"),
            (folder.file("folder.png").path, "it is a directory"),
            (folder.file("missing.png").path, "No such file or directory"),
            (try Project.model(), "it looks like a model file"),
        ]
        let run = try Command.run(["caption", "--greedy", "--json", "--model", try Project.model()] + bad.map(\.path) + [good])
        #expect(run.status == 1)
        #expect(try run.objects().map { $0["image"] as? String } == [good])
        let messages = run.messages.split(separator: "\n")
        try #require(messages.count == bad.count, "\(run.messages)")
        for (message, bad) in zip(messages, bad) {
            #expect(message.hasPrefix("Error: \(bad.path): \(bad.message)"), "\(message)")
        }
        let encoded = try Command.run(["encode", "--model", try Project.model()] + bad.map(\.path))
        #expect(encoded.status == 1 && encoded.output.isEmpty)
    }

    /// As of a variable that is not set.
    @Test func emptyNamesAreRefused() throws {
        let good = Project.sample("train_1f34e_noto.png")
        for arguments in [["caption", ""], ["caption", good, "--model", ""], ["complete", "кот", "--allowed", ""], ["tokenize", "--input", ""]] {
            let run = try Command.run(arguments, environment: ["RUDOLPH_MODEL": try Project.model()])
            #expect(run.status == 1 && run.messages.hasSuffix("Error: an empty name for a file to read\n"), "\(arguments): \(run.messages)")
        }
    }

    /// Of the OpenMP runtime, which ends the process for what it cannot read.
    @Test(arguments: [
        ("OMP_NUM_THREADS", "many"), ("OMP_NUM_THREADS", "0"), ("OMP_NUM_THREADS", "-1"), ("OMP_NUM_THREADS", "99999999999999999999"),
        ("OMP_STACKSIZE", "1"), ("OMP_STACKSIZE", "1T"), ("GOMP_STACKSIZE", "1"), ("KMP_STACKSIZE", "1"), ("KMP_TASKING", "1"),
        ("KMP_FORCE_REDUCTION", "x"), ("KMP_CPUINFO_FILE", "/missing"), ("GOMP_CPU_AFFINITY", "1T"),
    ])
    func variablesOfOthersEndNothing(name: String, value: String) throws {
        let run = try Command.run(
            ["caption", Project.sample("train_1f34e_noto.png"), "--greedy", "--threads", "2", "--model", try Project.model()],
            environment: [name: value, "KMP_WARNINGS": "x", "KMP_": "1"])
        #expect(run.status == 0 && run.text == "красное яблоко\n" && run.messages.isEmpty, "\(run.status) \(run.messages)")
    }

    /// Weights that are no numbers: nothing arbitrary is printed, drawn or chosen.
    @Test func damagedWeightsAreAnError() throws {
        let folder = try TemporaryFolder()
        var bytes = [UInt8](try Data(contentsOf: URL(filePath: try Project.model())))
        // The second half is nothing but weights.
        for index in (bytes.count / 2)..<bytes.count { bytes[index] = 0xff }
        let model = try folder.write(bytes, "model.gguf")
        let picture = Project.sample("train_1f34e_noto.png")
        _ = try folder.write(Array(#"{"0": [{"type": "text", "content": "Кто спит?"}]}"#.utf8), "tasks.json")
        for arguments in [
            ["caption", picture, "--greedy"], ["caption", picture, "--candidates", "2"], ["ask", picture, "что?"], ["ask", "--text", "что?"],
            ["draw", "кошка", "-o", "out.png"], ["complete", "кошка", "--candidates", "2"], ["classify", picture, "кошка", "собака"],
            ["rank", "яблоко", picture, picture], ["answer", "tasks.json", "-o", "out.json"],
        ] {
            let run = try Command.run(arguments + ["--model", model], folder: folder.url)
            #expect(run.status == 1 && run.output.isEmpty, "\(arguments): \(run.text)")
            #expect(run.messages.contains("\(model): ") && run.messages.contains("are not finite"), "\(arguments): \(run.messages)")
        }
        for name in ["out.png", "out.json"] { #expect(!FileManager.default.fileExists(atPath: folder.file(name).path)) }
    }

    /// Names in a file do not command the terminal.
    @Test func messagesShowControlCharacters() throws {
        let folder = try TemporaryFolder()
        var bytes = try Data(contentsOf: URL(filePath: try Project.model()))
        let token = try #require(bytes.range(of: Data("<RT_I2T>".utf8)))
        bytes.replaceSubrange(token, with: Data("<\u{1b}[2J\r\n>".utf8))
        let tensor = try #require(bytes.range(of: Data("text_embeddings.weight".utf8)))
        var renamed = bytes
        renamed.replaceSubrange(tensor.lowerBound..<(tensor.lowerBound + 4), with: Data("\u{1b}[2J".utf8))
        // The type of a tensor comes behind its name, the number of its dimensions and these.
        renamed.replaceSubrange((tensor.upperBound + 20)..<(tensor.upperBound + 24), with: Data([99, 0, 0, 0]))
        try bytes.write(to: folder.file("token.gguf"))
        try renamed.write(to: folder.file("tensor.gguf"))
        for (arguments, program) in [
            (["ask", "--text", "что?", "--left-task", "LT_X", "--model", "token.gguf"], Command.rudolph),
            (["info", "tensor.gguf"], Command.rudolph), (["verify", "tensor.gguf"], Command.quantizer),
        ] {
            let run = try Command.run(arguments, program: program, folder: folder.url)
            #expect(run.status == 1)
            #expect(run.messages.contains(#"\u{1b}[2J"#), "\(arguments): \(run.messages.debugDescription)")
            #expect(run.messages.unicodeScalars.allSatisfy { $0 == "\n" || $0.properties.generalCategory != .control }, "\(arguments)")
        }
    }

    @Test func aPictureLargerThanMemoryIsRefused() throws {
        let folder = try TemporaryFolder()
        let end: [UInt8] = [0, 0, 0, 0] + Array("IEND".utf8) + [0xae, 0x42, 0x60, 0x82]
        let path = try folder.write(pngHeader(width: 14_000, height: 14_000) + end, "large.png")
        let run = try Command.shell("ulimit -v 500000; \"$0\" encode \"$1\" --model \"$2\"", [path, try Project.model()])
        #expect(run.status == 1)
        #expect(
            run.messages == "Error: \(path): out of memory: its 14000 x 14000 pixels need 588000000 bytes; 512000000 are available\n",
            "\(run.messages)")
        // The limit would allow them, were the process not there itself.
        let close = try Command.shell("ulimit -v 580000; \"$0\" encode \"$1\" --model \"$2\"", [path, try Project.model()])
        #expect(close.status == 1)
        #expect(close.messages == "Error: \(path): out of memory: its 14000 x 14000 pixels need 588000000 bytes\n", "\(close.messages)")
    }

    @Test func badModelFilesAreRefused() throws {
        let folder = try TemporaryFolder()
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: try Project.model())))
        var paths = [folder.url.path, folder.file("missing.gguf").path, Project.sample("train_1f34e_noto.png")]
        for length in [0, 1, 3, 4, 7, 12, 24, 100, 4_000, 50_000, bytes.count / 2, bytes.count - 1] {
            paths.append(try folder.write(bytes.prefix(length), "cut-\(length).gguf"))
        }
        for (place, value) in [(0, 0x58), (4, 9), (15, 0xff), (23, 0xff)] as [(Int, UInt8)] {
            var changed = bytes
            changed[place] = value
            paths.append(try folder.write(changed, "changed-\(place).gguf"))
        }
        for path in paths {
            let run = try Command.run(["info", path])
            #expect(run.status == 1, "\(path): exit code \(run.status) \(run.messages)")
            #expect(run.output.isEmpty)
            #expect(run.messages.hasPrefix("Error: \(path): "), "\(run.messages)")
        }
    }

    @Test func textsThatAreNotUTF8AreRefused() throws {
        let model = try Project.model()
        let argument = try Command.shell("\"$0\" tokenize --model \"$1\" \"$(printf '\\317\\360')\"", [model])
        #expect(argument.status == 64)
        #expect(argument.messages.contains("argument 4") && argument.messages.contains("not UTF-8"), "\(argument.messages)")

        let lines = Data("{\"text\": \"кот\"}\n\n{\"text\": \"".utf8) + Data([0xff]) + Data("\"}\nnot json\n{\"text\": 5}\n{\"text\": \"пёс\"}".utf8)
        let run = try Command.run(["tokenize", "--input", "-", "--json", "--model", model], input: lines)
        #expect(run.status == 1)
        #expect(try run.objects().map { $0["text"] as? String } == ["кот", "пёс"])
        #expect(run.messages.contains("line 3: it is not UTF-8"), "\(run.messages)")
        for line in [4, 5] { #expect(run.messages.contains("line \(line): it is no JSON object with a text"), "\(run.messages)") }
        #expect(run.messages.contains("a text: no JSON from line 1, column 2 on;"), "\(run.messages)")
        #expect(run.messages.contains("a text: at text: "), "\(run.messages)")
    }

    @Test func badIDsAreRefusedAndNothingIsWritten() throws {
        let folder = try TemporaryFolder()
        let output = folder.file("logits.f32").path
        for ids in ["", "[1, 2", "{}", "[1.5]", "[]", "[3000000]", "[-1]", "\(Array(repeating: 1, count: 129))"] {
            let run = try Command.run(["logits", "--ids", "-", "-o", output, "--model", try Project.model()], input: Data(ids.utf8))
            #expect(run.status == 1, "\(ids): exit code \(run.status) \(run.messages)")
            #expect(run.messages.hasPrefix("Error: standard input: "), "\(ids): \(run.messages)")
        }
        #expect(try folder.names().isEmpty)
    }

    @Test func badIDsAreToldWithTheirPlace() throws {
        for (ids, message) in [
            ("", "it ends too early"), ("[1, 2", "it ends too early"), ("[1, 2, \"", "it ends too early"), ("[tr", "it ends too early"),
            ("[1,\n 2 3]", "no JSON from line 2, column 4 on"), ("[1,\n \"\u{44f}\", x]", "no JSON from line 2, column 7 on"),
            ("[1] 2", "no JSON from line 1, column 5 on"), ("[1,, 2]", "no JSON from line 1, column 4 on"),
            ("[01]", "no JSON from line 1, column 3 on"), ("[\"\\x\"]", "no JSON from line 1, column 4 on"),
            ("[1, 2, 1.5]", "at [2]: no integer"), ("[1.5, ]", "at [0]: no integer"), ("[1, [2]]", "at [1]: "), ("[1, \"2\"]", "at [1]: "),
            (#"{"a": [1, -2.5e+3, "\u00e4\n", true, false, null, {}, []]}"#, "expected to decode"),
        ] {
            let run = try Command.run(["logits", "--ids", "-", "-o", "/dev/null", "--model", "/missing.gguf"], input: Data(ids.utf8))
            #expect(run.status == 1)
            #expect(
                run.messages.hasPrefix("Error: standard input: it is no JSON list of integers: \(message)"), "\(ids): \(run.messages)")
        }
    }

    /// Their number is known to be wrong before memory is taken for their logits.
    @Test func aMillionIDsAreRefused() throws {
        let folder = try TemporaryFolder()
        let zeros = "[" + String(repeating: "0,", count: 1_000_000) + "0]"
        let ids = try folder.write(Array(zeros.utf8), "ids.json")
        let script = "ulimit -v 8000000; \"$0\" logits --ids \"$1\" -o x.f32 --model \"$2\""
        let run = try Command.shell(script, [ids, try Project.model()], folder: folder.url)
        #expect(run.status == 1 && run.messages == "Error: \(ids): 1000001 ids; expected 1 to 128\n", "\(run.status) \(run.messages)")
    }

    @Test(arguments: ["AVX2", "sse", "avx2 ", "\u{1b}[2J"])
    func unknownInstructionSetsAreRefused(name: String) throws {
        let run = try Command.run(["info", try Project.model()], environment: ["RUDOLPH_CPU": name])
        #expect(run.status == 64 && run.output.isEmpty)
        let shown = name.replacingOccurrences(of: "\u{1b}", with: "\\u{1b}")
        let message = "Error: RUDOLPH_CPU is \"\(shown)\"; expected one of scalar, avx2, avxvnni, avx512, neon, dotprod, i8mm\n"
        #expect(run.messages.hasPrefix(message), "\(run.messages)")
    }

    /// A known one is taken as it is, one of another architecture with a warning.
    @Test(arguments: ["", "scalar", "avx2", "avxvnni", "avx512", "neon", "dotprod", "i8mm"])
    func knownInstructionSetsAreTaken(name: String) throws {
        #if arch(x86_64)
        let isForeign = ["neon", "dotprod", "i8mm"].contains(name)
        #else
        let isForeign = name.hasPrefix("avx")
        #endif
        for arguments in [[], ["--quiet"]] {
            let run = try Command.run(["info", try Project.model()] + arguments, environment: ["RUDOLPH_CPU": name])
            #expect(run.status == 0)
            let warning = "Warning: RUDOLPH_CPU is \(name), which no processor of this kind has; expected one of scalar, "
            let isWarned = run.messages.hasPrefix(warning)
            #expect(isWarned == (isForeign && arguments.isEmpty) && (isWarned || run.messages.isEmpty), "\(run.messages)")
        }
    }

    @Test func aFileThatMayNotGrowIsAnErrorAndLeavesNothing() throws {
        let folder = try TemporaryFolder()
        let run = try Command.shell("ulimit -f 1; \"$0\" masks --preset 350M -o x.png", folder: folder.url)
        #expect(run.status == 1 && run.messages == "Error: x.png: File too large\n", "\(run.status) \(run.messages)")
        #expect(try folder.names().isEmpty)
    }

    @Test(arguments: [
        ["caption"], ["caption", "x.png", "--unknown"], ["caption", "x.png", "--top-p", "1.5"], ["caption", "x.png", "--temperature", "0"],
        ["caption", "x.png", "--temperature", "nan"], ["caption", "x.png", "--top-k", "-1"], ["caption", "x.png", "--candidates", "0"],
        ["caption", "x.png", "--candidates", "many"], ["caption", "x.png", "--threads", "0"], ["caption", "x.png", "--seed", "-1"],
        ["caption", "x.png", "--greedy", "--candidates", "2"], ["caption", "-", "-"], ["tokenize"], ["tokenize", "x", "--input", "y"],
        ["encode"], ["encode", "a", "b", "--prepared-pixels", "c"], ["info", "a", "--model", "b"], ["info", "a", "b"],
        ["logits", "--ids", "x"], ["unknown"], ["caption", "x.png", "--greedy", "--seed", "1"],
        ["answer", "x.json", "-o", "y.json", "--greedy", "--seed", "1"], ["ask", "--text", "x", "--image-arithmetic", "fast"],
        ["complete", "x", "--image-arithmetic", "fast"],
    ])
    func badUsageIsTold(arguments: [String]) throws {
        let run = try Command.run(arguments)
        #expect(run.status == 64)
        #expect(run.output.isEmpty && run.messages.contains("Usage: rudolph"), "\(run.messages)")
    }

    /// A command takes no option that it does not use.
    @Test(arguments: [
        (["tokenize", "x"], ["--threads", "--kv", "--activations", "--image-arithmetic"]),
        (["masks", "-o", "x.png"], ["--threads", "--kv", "--activations", "--image-arithmetic"]),
        (["encode", "x.png"], ["--kv", "--activations"]), (["decode", "--tokens", "-", "-o", "x.png"], ["--kv", "--activations"]),
        (["logits", "--ids", "-", "-o", "x.f32"], ["--image-arithmetic"]),
    ])
    func optionsWithoutEffectAreUnknown(arguments: [String], options: [String]) throws {
        for option in options {
            let run = try Command.run(arguments + [option, "1"])
            #expect(run.status == 64 && run.messages.hasPrefix("Error: Unknown option '\(option)'"), "\(run.messages)")
        }
    }

    @Test func aFullDiskIsAnError() throws {
        let run = try Command.shell("\"$0\" tokenize кот --model \"$1\" > /dev/full", [try Project.model()])
        #expect(run.status == 1)
        #expect(run.messages.contains("standard output: No space left on device"), "\(run.messages)")
    }

    @Test func aReaderThatStopsIsNoError() throws {
        let run = try Command.shell(
            "yes '{\"text\": \"кот\"}' | head -n 20000 | \"$0\" tokenize --input - --json --model \"$1\" | head -n 1", [try Project.model()])
        #expect(run.messages.isEmpty, "\(run.messages)")
        #expect(run.lines.count == 1)
    }

    /// Whenever a signal comes, there is a whole file or none.
    @Test func aSignalLeavesNothingHalfWritten() throws {
        let script = """
            "$0" logits --ids ids.json -o logits.f32 --quiet --model "$1" & [ $2 = 0.0 ] || sleep $2; kill -TERM $! 2> /dev/null; wait $!; true
            """
        var wholeFiles = 0, delays = 0, milliseconds = 0
        // A busy machine may take longer to write a file at all.
        while milliseconds <= 280 || wholeFiles == 0 && milliseconds < 60_000 {
            let folder = try TemporaryFolder()
            try Data("\(Array(repeating: 1, count: 128))".utf8).write(to: folder.file("ids.json"))
            _ = try Command.shell(script, [try Project.model(), "\(Double(milliseconds) / 1000)"], folder: folder.url)
            let names = try folder.names()
            #expect(names == ["ids.json"] || names == ["ids.json", "logits.f32"], "\(names)")
            if names.count == 2 {
                wholeFiles += 1
                #expect(try Data(contentsOf: folder.file("logits.f32")).count == 128 * 3136 * 4)
            }
            delays += 1
            milliseconds = max(milliseconds + 20, milliseconds <= 280 ? 0 : 2 * milliseconds)
        }
        #expect(wholeFiles > 0 && wholeFiles < delays, "\(wholeFiles) whole files of \(delays)")
    }
}
