import Foundation
import ImageFiles
import Testing

private let apple = Project.sample("train_1f34e_noto.png")

/// Pipes and standard output in place of files, and Ctrl-C while the program waits for their other end.
@Suite(.serialized) struct StreamTests {

    private func process(_ arguments: [String], _ folder: TemporaryFolder) throws -> Process {
        let process = Process()
        process.executableURL = Command.rudolph
        process.arguments = arguments + ["--model", try Project.model()]
        process.currentDirectoryURL = folder.url
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        return process
    }

    private func pipe(_ folder: TemporaryFolder) -> String {
        let path = folder.file("pipe").path
        #expect(mkfifo(path, 0o600) == 0)
        return path
    }

    private func messages(_ pipe: Pipe) -> String {
        String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    }

    /// Also where whoever was to write the picture ends of it first.
    @Test(arguments: [
        ["caption", "-", "--greedy"], ["ask", "-", "что?", "--greedy"], ["classify", "-", "кот", "пёс"], ["rank", "кот", "-"], ["encode", "-"],
        ["draw", "кот", "--greedy", "-o", "x.png", "--inpaint", "-", "--keep", "up=1"],
    ], [true, false])
    func interruptsEndTheWaitForAPicture(arguments: [String], writerEnds: Bool) throws {
        let folder = try TemporaryFolder()
        let process = try process(arguments, folder), input = Pipe(), errors = Pipe()
        process.standardInput = input
        process.standardError = errors
        try Command.startInterruptible(process)
        try Command.waitForHandler(of: process)
        process.interrupt()
        if writerEnds { try input.fileHandleForWriting.close() }
        #expect(Command.ends(process))
        #expect(process.terminationReason == .exit && process.terminationStatus == 130, "\(process.terminationStatus)")
        #expect(messages(errors).isEmpty)
        #expect(try folder.names().isEmpty)
    }

    @Test func interruptsEndTheWaitForANamedPipe() throws {
        let folder = try TemporaryFolder()
        let process = try process(["caption", pipe(folder), "--greedy"], folder), errors = Pipe()
        process.standardError = errors
        try Command.startInterruptible(process)
        try Command.waitForHandler(of: process)
        process.interrupt()
        #expect(Command.ends(process))
        #expect(process.terminationReason == .exit && process.terminationStatus == 130, "\(process.terminationStatus)")
        #expect(messages(errors).isEmpty)
    }

    @Test func aPictureIsReadFromANamedPipe() throws {
        let folder = try TemporaryFolder()
        let run = try Command.shell(
            "mkfifo pipe; cat \"$1\" > pipe & \"$0\" caption pipe --greedy --model \"$2\"", [apple, try Project.model()], folder: folder.url)
        #expect(run.status == 0 && run.text == "красное яблоко\n", "\(run.messages)")
    }

    /// Of a pipe without a reader, and of one whose reader does not read.
    @Test(arguments: [SIGINT, SIGTERM, SIGHUP], [true, false])
    func signalsEndTheWaitForAReader(number: Int32, hasReader: Bool) throws {
        let folder = try TemporaryFolder()
        let path = pipe(folder)
        try Data("\(Array(repeating: 1, count: 128))".utf8).write(to: folder.file("ids.json"))
        let process = try process(["logits", "--ids", "ids.json", "-o", path, "--quiet"], folder)
        let reader = hasReader ? open(path, O_RDWR) : -1
        defer { if reader >= 0 { close(reader) } }
        try Command.startInterruptible(process)
        if hasReader {
            var entry = pollfd(fd: reader, events: Int16(POLLIN), revents: 0)
            #expect(poll(&entry, 1, 30_000) == 1)
        } else {
            try Command.waitForHandler(of: process)
        }
        Thread.sleep(forTimeInterval: 0.2)
        kill(process.processIdentifier, number)
        #expect(Command.ends(process))
        let isInterrupt = number == SIGINT
        #expect(process.terminationReason == (isInterrupt ? .exit : .uncaughtSignal))
        #expect(process.terminationStatus == (isInterrupt ? 130 : number), "\(process.terminationStatus)")
    }

    @Test func picturesGoToNamedPipes() throws {
        let folder = try TemporaryFolder()
        let run = try Command.shell(
            "mkfifo pipe; cat pipe > copy.png & \"$0\" masks --preset 350M -o pipe && \"$0\" masks --preset 350M -o file.png; wait",
            folder: folder.url)
        #expect(run.text == "pipe\nfile.png\n", "\(run.messages)")
        #expect(try Data(contentsOf: folder.file("copy.png")) == Data(contentsOf: folder.file("file.png")))
    }

    @Test(arguments: [
        (["draw", "кошка", "--greedy"], ""), (["masks"], ""), (["decode", "--tokens", "-"], "\(Array(repeating: 7, count: 64))"),
    ])
    func aPictureGoesToStandardOutput(arguments: [String], input: String) throws {
        let folder = try TemporaryFolder()
        let arguments = arguments + ["--model", try Project.model()]
        let file = try Command.run(arguments + ["-o", "x.png"], input: Data(input.utf8), folder: folder.url)
        #expect(file.status == 0 && file.text == "x.png\n", "\(file.messages)")
        let run = try Command.run(arguments + ["-o", "-"], input: Data(input.utf8), folder: folder.url)
        #expect(run.status == 0 && run.messages.isEmpty, "\(run.messages)")
        #expect(try run.output == Data(contentsOf: folder.file("x.png")))
        #expect(try folder.names() == ["x.png"])
        let json = try Command.run(arguments + ["-o", "-", "--json"], input: Data(input.utf8), folder: folder.url)
        #expect(json.status == 64 && json.messages.contains("-o - writes the picture to standard output: no --json"), "\(json.messages)")
    }

    @Test func standardOutputTakesOnePicture() throws {
        let draw = try Command.run(["draw", "кошка", "-n", "2", "-o", "-"])
        #expect(draw.status == 64 && draw.messages.contains("-o - writes one picture to standard output; found 2"), "\(draw.messages)")
        let decode = try Command.run(["decode", "--tokens", "-", "-o", "-", "--model", "/missing.gguf"], input: Data("[1]\n[2]\n".utf8))
        #expect(decode.status == 1 && decode.messages == "Error: -o - writes one picture to standard output; found 2\n", "\(decode.messages)")
        let full = try Command.shell("\"$0\" masks --preset 350M -o - > /dev/full")
        #expect(full.status == 1 && full.messages == "Error: standard output: No space left on device\n", "\(full.messages)")
    }

    @Test func aTerminalTakesNoPicture() throws {
        let run = try Command.shell(#"export PROGRAM="$0"; script -qec '"$PROGRAM" masks --preset 350M -o -' /dev/null < /dev/null"#)
        let message = "Error: -o - writes the picture to standard output, which is a terminal; expected a pipe or a file"
        #expect(run.status == 1 && run.text.hasPrefix(message), "\(run.text.debugDescription) \(run.messages)")
    }

    /// What a text's terminal gets is what a pipe gets, whether it comes in pieces or not.
    @Test(arguments: [
        (["caption", apple, "--greedy"], false), (["caption", apple, apple, "--greedy", "--all"], false), (["caption", apple, "--seed", "1"], false),
        (["ask", apple, "что на картинке?", "--greedy"], false), (["ask", "--text", "красное яблоко. что это?", "--seed", "3"], true),
        (["complete", "Красное", "--greedy"], true), (["complete", "", "--candidates", "1", "--seed", "2", "--temperature", "3"], false),
        (["caption", apple, "--greedy", "--json"], false),
    ])
    func terminalsGetTheSameTexts(arguments: [String], isQuiet: Bool) throws {
        let arguments = arguments + ["--model", try Project.model()] + (isQuiet ? ["--quiet"] : [])
        let piped = try Command.run(arguments)
        #expect(piped.status == 0 && !piped.text.isEmpty, "\(piped.messages)")
        let script = #"export PROGRAM="$0"; WORDS=; for WORD; do WORDS="$WORDS '$WORD'"; done; "#
            + #"script -qec "\"\$PROGRAM\" $WORDS 2> messages" /dev/null < /dev/null"#
        let folder = try TemporaryFolder()
        let shown = try Command.shell(script, arguments, folder: folder.url)
        #expect(shown.status == 0 && shown.text == piped.text.replacing("\n", with: "\r\n"), "\(shown.text.debugDescription) \(shown.messages)")
    }

    /// The line of progress is gone before the text begins, and does not come back.
    @Test func progressMakesRoomForATextThatGrows() throws {
        let run = try Command.shell(
            #"export PROGRAM="$0" MODEL="$1"; script -qec '"$PROGRAM" complete "красное" --greedy --model "$MODEL"' /dev/null < /dev/null"#,
            [try Project.model()])
        let end = "\r\u{1b}[Kкрасное яблоко\r\n"
        #expect(run.status == 0 && run.text.hasSuffix(end), "\(run.text.debugDescription) \(run.messages)")
    }

    /// A terminal shows what a file is called, and does not do it.
    @Test func progressShowsControlCharacters() throws {
        let run = try Command.shell(
            #"""
            export PROGRAM="$0" MODEL="$1" NAME="$(printf '\033[2J.png')"
            script -qec '"$PROGRAM" caption "$NAME" x.png --greedy --model "$MODEL"' /dev/null < /dev/null
            """#, [try Project.model()])
        #expect(run.text.contains(#"[1/2] \u{1b}[2J.png: encoding image"#), "\(run.text.debugDescription) \(run.messages)")
        #expect(!run.text.contains("\u{1b}[2J"), "\(run.text.debugDescription)")
    }
}
