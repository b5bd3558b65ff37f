import Foundation
import Testing

/// A run of one of the package's programs, as a user runs it.
struct Command {
    let status: Int32
    let output: Data
    /// Standard error.
    let messages: String

    var text: String { String(decoding: output, as: UTF8.self) }
    var lines: [String] { text.split(separator: "\n").map(String.init) }

    /// Standard output as one JSON object per line.
    func objects() throws -> [[String: Any]] {
        try lines.map { line in
            try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any], "not a JSON object: \(line)")
        }
    }

    /// Where the programs lie: beside the test bundle, which is the running program.
    static let products = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
    static let rudolph = products.appending(path: "rudolph")
    static let quantizer = products.appending(path: "rudolph-quant")

    /// Runs a program to its end. `RUDOLPH_MODEL` is not inherited.
    static func run(
        _ arguments: [String], program: URL = rudolph, input: Data = Data(), environment: [String: String] = [:], folder: URL? = nil
    ) throws -> Command {
        let scratch = try TemporaryFolder()
        let (inputFile, outputFile, messageFile) = (scratch.file("in"), scratch.file("out"), scratch.file("messages"))
        try input.write(to: inputFile)
        for file in [outputFile, messageFile] { try Data().write(to: file) }

        let process = Process()
        process.executableURL = program
        process.arguments = arguments
        process.currentDirectoryURL = folder
        var inherited = ProcessInfo.processInfo.environment
        inherited["RUDOLPH_MODEL"] = nil
        process.environment = inherited.merging(environment) { $1 }
        process.standardInput = try FileHandle(forReadingFrom: inputFile)
        process.standardOutput = try FileHandle(forWritingTo: outputFile)
        process.standardError = try FileHandle(forWritingTo: messageFile)
        try start(process)
        process.waitUntilExit()
        let signal = process.terminationReason == .uncaughtSignal
        return Command(
            status: signal ? 128 + process.terminationStatus : process.terminationStatus, output: try Data(contentsOf: outputFile),
            messages: String(decoding: try Data(contentsOf: messageFile), as: UTF8.self))
    }

    /// Starts a program with no signal blocked: threads of a test runner block them, which a program inherits.
    static func start(_ process: Process) throws {
        var none = sigset_t(), blocked = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, &blocked)
        defer { pthread_sigmask(SIG_SETMASK, &blocked, nil) }
        try process.run()
    }

    /// As `start`, where Ctrl-C and the like end the program: test runners may ignore them, which a program inherits.
    static func startInterruptible(_ process: Process) throws {
        let signals = [SIGINT, SIGTERM, SIGHUP]
        let handlers = signals.map { signal($0, SIG_DFL) }
        defer { for (number, handler) in zip(signals, handlers) { signal(number, handler) } }
        try start(process)
    }

    /// Waits until a program catches interrupts, and then until it is well at work.
    static func waitForHandler(of process: Process) throws {
        for _ in 0..<500 {
            let status = try String(contentsOfFile: "/proc/\(process.processIdentifier)/status", encoding: .utf8)
            let caught = status.split(separator: "\n").first { $0.hasPrefix("SigCgt:") }.flatMap { UInt64($0.dropFirst(8), radix: 16) } ?? 0
            if caught >> UInt64(SIGINT - 1) & 1 == 1 { break }
            Thread.sleep(forTimeInterval: 0.01)
        }
        Thread.sleep(forTimeInterval: 0.1)
    }

    /// Waits for the end of a program that was told to end; kills one that does not, and then says false.
    static func ends(_ process: Process) -> Bool {
        for _ in 0..<1000 where process.isRunning { Thread.sleep(forTimeInterval: 0.01) }
        let isOver = !process.isRunning
        if !isOver { kill(process.processIdentifier, SIGKILL) }
        process.waitUntilExit()
        return isOver
    }

    /// Runs a shell script in which `$0` is rudolph and `$1`, `$2`, ... are the arguments.
    static func shell(_ script: String, _ arguments: [String] = [], folder: URL? = nil) throws -> Command {
        try run(["-c", script, rudolph.path] + arguments, program: URL(filePath: "/bin/sh"), folder: folder)
    }
}

/// A folder of its own, removed with the object.
final class TemporaryFolder: Sendable {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appending(path: "rudolph-tests-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: url)
    }

    func file(_ name: String) -> URL { url.appending(path: name) }

    func write(_ bytes: some Sequence<UInt8>, _ name: String) throws -> String {
        try Data(bytes).write(to: file(name))
        return file(name).path
    }

    func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: url.path).sorted() }
}

enum Project {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    static let checkpoint = folder.appending(path: "Models/demo/float")
    static let samples = folder.appending(path: "Models/demo/samples")
    static let golden = folder.appending(path: "Tests/Golden")
    static let pictures = golden.appending(path: "pictures")

    static func sample(_ name: String) -> String { samples.appending(path: name).path }

    /// The float demo checkpoint, converted to f16 once for all tests of a run.
    static func model() throws -> String { try converted.get() }

    private static let converted: Result<String, any Error> = Result {
        try FileManager.default.createDirectory(at: modelFolder, withIntermediateDirectories: true)
        atexit { try? FileManager.default.removeItem(at: Project.modelFolder) }
        let model = modelFolder.appending(path: "demo-f16.gguf").path
        let conversion = try Command.run(
            [
                "--config", checkpoint.appending(path: "config.json").path,
                "--transformer", checkpoint.appending(path: "pytorch_model.bin").path,
                "--vqgan", checkpoint.appending(path: "vqgan.ckpt").path,
                "--tokenizer", checkpoint.appending(path: "bpe.model").path,
                "--type", "f16", "-o", model,
            ], program: Command.quantizer)
        try #require(conversion.status == 0, "rudolph-quant: \(conversion.messages)")
        return model
    }

    private static let modelFolder = FileManager.default.temporaryDirectory.appending(
        path: "rudolph-tests-model-\(ProcessInfo.processInfo.processIdentifier)")
}
