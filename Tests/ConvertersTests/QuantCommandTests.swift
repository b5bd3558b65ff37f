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

    /// Runs rudolph-quant in `folder`; `signal` is sent to it as soon as a file that ends in .part is there.
    func run(_ arguments: [String], in folder: TemporaryFolder, signal: Int32? = nil) throws -> Run {
        let output = try folder.write("output", []), messages = try folder.write("messages", [])
        defer { for file in [output, messages] { try? FileManager.default.removeItem(atPath: file) } }
        let process = Process()
        process.executableURL = Self.program
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
        process.waitUntilExit()
        return Run(
            status: process.terminationStatus, output: try String(contentsOfFile: output, encoding: .utf8),
            messages: try String(contentsOfFile: messages, encoding: .utf8))
    }

    static let inputs = ["--transformer", "pytorch_model.bin", "--vqgan", "vqgan.ckpt", "--tokenizer", "bpe.model"]

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
        #expect(damaged.output.contains("plain.gguf: whole\nout.gguf: captions.left_text.keys_values: damaged"), "\(damaged.output)")
        #expect(damaged.output.contains("missing.gguf: cannot be opened: No such file"), "\(damaged.output)")
    }

    @Test func usageErrorsAre64() throws {
        let folder = try TemporaryFolder()
        for arguments in [
            [], ["--preset", "350M"], ["--preset", "1B", "-o", "x"] + Self.inputs, ["-o", "x"] + Self.inputs,
            ["--preset", "350M", "--config", "c", "-o", "x"] + Self.inputs, ["--preset", "350M", "--type", "int3", "-o", "x"] + Self.inputs,
            ["--preset", "350M", "--threads", "0", "-o", "x"] + Self.inputs, ["verify"], ["export", "x"], ["nonsense"],
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
        func demo(_ name: String) -> String { Project.demo.appending(path: name).path }
        let run = try run(
            [
                "--config", demo("config.json"), "--transformer", demo("pytorch_model.bin"), "--vqgan", demo("vqgan.ckpt"), "--tokenizer",
                demo("bpe.model"), "--type", "int4", "--threads", "1", "-o", "out.gguf",
            ], in: folder, signal: number)
        #expect(run.status == 128 + number, "\(run.messages)")
        #expect(folder.contents.isEmpty)
    }
}
