import Foundation
import Testing

/// Runs of the real program.
@Suite struct QuantCommandTests {
    struct Run {
        let status: Int32
        let output: String
        let messages: String
    }

    /// Beside the test bundle, which is the running program.
    static let program = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent().appending(path: "rudolph-quant")

    /// Runs rudolph-quant in `folder`; `signal` is sent to it as soon as a file that ends in .part is there. After `seconds` it is killed.
    func run(
        _ arguments: [String], in folder: TemporaryFolder, program: URL = Self.program, signal: Int32? = nil, seconds: Double? = nil
    ) throws -> Run {
        let output = try folder.write("output", []), messages = try folder.write("messages", [])
        defer { for file in [output, messages] { try? FileManager.default.removeItem(atPath: file) } }
        let process = Process()
        process.executableURL = program
        process.arguments = arguments
        process.currentDirectoryURL = folder.url
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle(forWritingAtPath: output)
        process.standardError = FileHandle(forWritingAtPath: messages)
        try process.run()
        if let signal {
            while process.isRunning, !folder.contents.contains(where: { $0.hasSuffix(".part") }) { usleep(1000) }
            kill(process.processIdentifier, signal)
        }
        if let seconds {
            let end = ContinuousClock.now + .seconds(seconds)
            while process.isRunning, ContinuousClock.now < end { usleep(1000) }
            if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        }
        process.waitUntilExit()
        return Run(
            status: process.terminationStatus, output: try String(contentsOfFile: output, encoding: .utf8),
            messages: try String(contentsOfFile: messages, encoding: .utf8))
    }

    /// Runs a shell script in which `"$0" "$@"` is rudolph-quant with `arguments`.
    func shell(_ script: String, _ arguments: [String], in folder: TemporaryFolder, signal: Int32? = nil) throws -> Run {
        try run(["-c", script, Self.program.path] + arguments, in: folder, program: URL(filePath: "/bin/sh"), signal: signal)
    }

    static let inputs = ["--transformer", "pytorch_model.bin", "--vqgan", "vqgan.ckpt", "--tokenizer", "bpe.model"]

    static let demo = ["--config", "config.json", "--transformer", "pytorch_model.bin", "--vqgan", "vqgan.ckpt", "--tokenizer", "bpe.model"]
        .map { $0.hasPrefix("--") ? $0 : Project.demo.appending(path: $0).path }

    @Test func convertsVerifiesAndExports() throws {
        let folder = try TemporaryFolder()
        _ = try SmallModel().conversion(folder)
        _ = try folder.write("config.json", SmallModel.json)
        let convert = try run(["--config", "config.json", "-o", "out.gguf", "--type", "int8", "--name", "Small one"] + Self.inputs, in: folder)
        #expect(convert.status == 0, "\(convert.messages)")
        for word in ["attention", "int8", "bits/weight", "SNR", "out.gguf", "together"] {
            #expect(convert.output.contains(word), "\(convert.output)")
        }
        #expect(!convert.messages.contains("\u{1B}"), "a progress bar without a terminal")
        let whole = try run(["verify", "out.gguf"], in: folder)
        #expect(whole.status == 0 && whole.output == "out.gguf: whole\n")
        let export = try run(["export", "out.gguf", "-o", "plain.gguf", "--type", "q8_0"], in: folder)
        #expect(export.status == 0 && export.output.hasPrefix("plain.gguf: "), "\(export.messages)")

        var bytes = try Data(contentsOf: folder.url.appending(path: "out.gguf"))
        bytes[bytes.count - 64] ^= 1
        try bytes.write(to: folder.url.appending(path: "out.gguf"))
        let damaged = try run(["verify", "plain.gguf", "out.gguf", "missing.gguf"], in: folder)
        #expect(damaged.status == 1)
        #expect(damaged.output.contains("plain.gguf: whole\nout.gguf: captions.left_text.scales: damaged"), "\(damaged.output)")
        #expect(damaged.messages == "Error: missing.gguf: cannot be opened: No such file or directory\n", "\(damaged.messages)")
        #expect(!damaged.output.contains("missing.gguf"), "\(damaged.output)")
    }

    /// On the narrowest of usual terminals.
    private func help(_ arguments: [String], in folder: TemporaryFolder) throws -> String {
        let run = try shell("COLUMNS=80; export COLUMNS; exec \"$0\" \"$@\"", arguments, in: folder)
        #expect(run.status == 0, "\(run.messages)")
        return run.output
    }

    @Test func helpNamesTheDefaultTypeAndWhereTheOptionsAre() throws {
        let folder = try TemporaryFolder()
        let words = try help(["help", "convert"], in: folder).split { $0.isWhitespace }.joined(separator: " ")
        #expect(words.contains("(values: f32, f16, int8, int4; default: int4)"), "\(words)")
        #expect(try help(["--help"], in: folder).contains("see rudolph-quant help convert"))
    }

    /// As it is pasted, it is a whole command line, which only lacks its files.
    @Test func theExampleOfTheHelpCanBePasted() throws {
        let folder = try TemporaryFolder()
        let lines = try help(["--help"], in: folder).split(separator: "\n", omittingEmptySubsequences: false)
        let example = lines.drop { !$0.hasPrefix("  rudolph-quant --") }.prefix { !$0.isEmpty }.joined(separator: "\n")
        let run = try shell(example.replacing("rudolph-quant", with: "\"$0\"", maxReplacements: 1), [], in: folder)
        #expect(run.status == 1, "\(example)")
        #expect(run.messages == "Error: pytorch_model.bin: cannot be opened: No such file or directory\n", "\(run.messages)")
    }

    @Test func usageErrorsAre64() throws {
        let folder = try TemporaryFolder()
        for arguments in [
            [], ["--preset", "350M"], ["--preset", "1B", "-o", "x"] + Self.inputs, ["-o", "x"] + Self.inputs,
            ["--preset", "350M", "--config", "c", "-o", "x"] + Self.inputs, ["--preset", "350M", "--type", "int3", "-o", "x"] + Self.inputs,
            ["--preset", "350M", "--threads", "0", "-o", "x"] + Self.inputs,
            ["--preset", "350M", "--type", "f16", "--calibration", "-o", "x"] + Self.inputs, ["verify"], ["export", "x"], ["nonsense"],
        ] {
            let run = try run(arguments, in: folder)
            #expect(run.status == 64, "\(arguments): \(run.messages)")
            #expect(!run.messages.isEmpty)
        }
    }

    @Test func badInputIs1AndLeavesNothing() throws {
        let folder = try TemporaryFolder()
        _ = try SmallModel().conversion(folder)
        let before = folder.contents
        let wrong = try run(["--preset", "350M", "-o", "out.gguf"] + Self.inputs, in: folder)
        #expect(wrong.status == 1 && wrong.messages.contains("vqgan.ckpt: quantize.proj.weight has 20 codes"), "\(wrong.messages)")
        let missing = try run(["--config", "missing.json", "-o", "out.gguf"] + Self.inputs, in: folder)
        #expect(missing.status == 1 && missing.messages.contains("missing.json: cannot be opened"), "\(missing.messages)")
        #expect(folder.contents == before)
    }

    @Test(arguments: [SIGINT, SIGTERM, SIGHUP]) func signalsLeaveNothing(number: Int32) throws {
        let folder = try TemporaryFolder()
        let run = try run(Self.demo + ["--type", "int4", "--threads", "1", "-o", "out.gguf"], in: folder, signal: number)
        #expect(run.status == 128 + number, "\(run.messages)")
        #expect(folder.contents.isEmpty)
    }

    /// As nohup starts it.
    @Test(arguments: [SIGINT, SIGTERM, SIGHUP]) func ignoredSignalsStayIgnored(number: Int32) throws {
        let folder = try TemporaryFolder()
        let run = try shell(
            "trap '' \(number); exec \"$0\" \"$@\"", Self.demo + ["--type", "int8", "--threads", "1", "-o", "out.gguf"], in: folder,
            signal: number)
        #expect(run.status == 0, "\(run.messages)")
        #expect(folder.contents == ["out.gguf"])
    }

    @Test(arguments: ["--calibration", "--no-calibration"]) func limitsOfFileSizesAreErrors(calibration: String) throws {
        let folder = try TemporaryFolder()
        _ = try SmallModel().conversion(folder)
        _ = try folder.write("config.json", SmallModel.json)
        let before = folder.contents
        let run = try shell(
            "ulimit -f 64; exec \"$0\" \"$@\"", ["--config", "config.json", calibration, "-o", "out.gguf"] + Self.inputs, in: folder)
        // What there is to warn of comes before the work.
        let messages = """
            warning: embeddings are stored as f16: Q8_0 needs rows in multiples of 32, hidden_size is 48
            Error: out.gguf: cannot write: File too large

            """
        #expect(run.status == 1 && run.messages == messages, "\(run.status) \(run.messages)")
        #expect(folder.contents == before)
    }

    /// They are those of any file that the user makes.
    @Test(arguments: [("022", 0o644), ("027", 0o640), ("077", 0o600)]) func permissionsAreTheMasks(mask: String, permissions: Int) throws {
        let folder = try TemporaryFolder()
        _ = try SmallModel().conversion(folder)
        _ = try folder.write("config.json", SmallModel.json)
        let run = try shell(
            "umask \(mask); exec \"$0\" \"$@\"", ["--config", "config.json", "--no-calibration", "-o", "out.gguf"] + Self.inputs, in: folder)
        #expect(run.status == 0, "\(run.messages)")
        #expect(try FileManager.default.attributesOfItem(atPath: folder.path("out.gguf"))[.posixPermissions] as? Int == permissions)
    }

    @Test func permissionsOfAReplacedFileStay() throws {
        let folder = try TemporaryFolder()
        _ = try SmallModel().conversion(folder)
        _ = try folder.write("config.json", SmallModel.json)
        let run = try shell(
            "umask 077; echo old > out.gguf; umask 022; exec \"$0\" \"$@\"",
            ["--config", "config.json", "--no-calibration", "-o", "out.gguf"] + Self.inputs, in: folder)
        #expect(run.status == 0, "\(run.messages)")
        #expect(try FileManager.default.attributesOfItem(atPath: folder.path("out.gguf"))[.posixPermissions] as? Int == 0o600)
    }

    @Test func argumentsThatAreNotUTF8AreRefused() throws {
        let folder = try TemporaryFolder()
        _ = try SmallModel().conversion(folder)
        _ = try folder.write("config.json", SmallModel.json)
        let before = folder.contents
        let run = try shell(
            "exec \"$0\" \"$@\" -o \"$(printf 'a\\317\\360.gguf')\"", ["--config", "config.json", "--no-calibration"] + Self.inputs, in: folder)
        #expect(run.status == 64)
        #expect(run.messages.hasPrefix("Error: argument 11, \"a\u{FFFD}\u{FFFD}.gguf\", is not UTF-8; expected UTF-8\n"), "\(run.messages)")
        #expect(folder.contents == before)
    }

    @Test func theConfigurationIsNotReplaced() throws {
        let folder = try TemporaryFolder()
        _ = try SmallModel().conversion(folder)
        _ = try folder.write("config.json", SmallModel.json)
        let run = try run(["--config", "config.json", "--no-calibration", "-o", "config.json"] + Self.inputs, in: folder)
        #expect(run.status == 1 && run.messages == "Error: config.json: would replace the input config.json\n", "\(run.messages)")
    }

    @Test func aFullDiskIsAnError() throws {
        let folder = try TemporaryFolder()
        let run = try shell(
            "exec \"$0\" verify \"$@\" > /dev/full", [Project.folder.appending(path: "Models/demo/rudolph-demo-int8.gguf").path], in: folder)
        #expect(run.status == 1 && run.messages == "Error: standard output: No space left on device\n", "\(run.messages)")
    }

    @Test(arguments: ["2> /dev/full", "2>&-"]) func whatNobodyReadsEndsNothing(redirection: String) throws {
        let folder = try TemporaryFolder()
        let model = Project.folder.appending(path: "Models/demo/rudolph-demo-int8.gguf").path
        let run = try shell("exec \"$0\" verify \"$@\" \(redirection)", ["missing.gguf", model], in: folder)
        #expect(run.status == 1 && run.output == "\(model): whole\n", "\(run.status) \(run.output)")
    }

    /// A line that wraps could not be taken away.
    @Test func progressFitsIntoANarrowTerminal() throws {
        let folder = try TemporaryFolder()
        _ = try SmallModel().conversion(folder)
        _ = try folder.write("config.json", SmallModel.json)
        let arguments = ["--config", "config.json", "--no-calibration", "-o", "out.gguf"] + Self.inputs
        let script = #"export PROGRAM="$0" ARGUMENTS="$*"; exec script -qec '"$PROGRAM" $ARGUMENTS' /dev/null < /dev/null"#
        let run = try shell(script, arguments, in: folder)
        let lines = run.output.components(separatedBy: "\r\u{1b}[K").filter { $0.hasPrefix("█") || $0.hasPrefix("░") }
        #expect(run.status == 0 && lines.contains { $0.count == 78 }, "\(run.output.debugDescription) \(run.messages)")
        for line in lines { #expect(line.count <= 78, "\(line.debugDescription)") }
    }

    /// Nobody writes to it: to wait for somebody who does would be to wait for ever.
    @Test(arguments: [0, 1, 2]) func pipesAreRefused(input: Int) throws {
        let folder = try TemporaryFolder()
        _ = try SmallModel().conversion(folder)
        _ = try folder.write("config.json", SmallModel.json)
        try #require(mkfifo(folder.path("pipe"), 0o600) == 0)
        var arguments = Self.inputs
        arguments[2 * input + 1] = "pipe"
        let run = try run(["--config", "config.json", "--no-calibration", "-o", "out.gguf"] + arguments, in: folder, seconds: 60)
        #expect(run.status == 1 && run.messages.hasPrefix("Error: pipe: "), "\(run.status) \(run.messages)")
    }

    /// As much as the limits let through of what costs most for each byte.
    @Test func hostilePicklesNeedLittleMemory() throws {
        let folder = try TemporaryFolder()
        _ = try SmallModel().conversion(folder)
        _ = try folder.write("config.json", SmallModel.json)
        var pickle = PickleWriter(), archive = ZipWriter()
        func fill(_ opcodes: [UInt8], _ count: Int) { pickle.bytes += repeatElement(opcodes, count: count).joined() }
        pickle.storage(key: "0", count: 0)
        fill([0x94], 1_048_000)
        fill([UInt8(ascii: "N"), 0x85], 1_047_000)
        archive.add("m/data.pkl", pickle.finished())
        archive.add("m/data/0", [])
        _ = try folder.write("pytorch_model.bin", archive.finished())
        let run = try shell(
            "ulimit -v 600000; exec \"$0\" \"$@\"", ["--config", "config.json", "--no-calibration", "-o", "out.gguf"] + Self.inputs, in: folder)
        #expect(run.status == 1 && run.messages.contains("is no dictionary of tensors"), "\(run.status) \(run.messages)")
    }

    /// Lines or words without end must not cost many times what the file does.
    @Test(arguments: ["\n", "1 "]) func largeTokenizersNeedNoMoreMemoryThanTheirFile(text: String) throws {
        let folder = try TemporaryFolder()
        _ = try SmallModel().conversion(folder)
        _ = try folder.write("config.json", SmallModel.json)
        _ = try folder.write("bpe.model", String(repeating: text, count: (60 << 20) / text.utf8.count))
        let run = try shell(
            "ulimit -v 600000; exec \"$0\" \"$@\"", ["--config", "config.json", "--no-calibration", "-o", "out.gguf"] + Self.inputs, in: folder)
        #expect(
            run.status == 1 && run.messages == "Error: bpe.model: line 1: the numbers of characters and rules expected\n",
            "\(run.status) \(run.messages)")
    }
}
