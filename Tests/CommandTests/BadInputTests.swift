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
            (try folder.write(pngHeader(width: 30_000, height: 30_000), "large.png"), "30000 x 30000 pixels"),
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
            #expect(message.hasPrefix("Error: \(bad.path): \(bad.message)") || message.contains(bad.message), "\(message)")
            #expect(message.contains(bad.path))
        }
        let encoded = try Command.run(["encode", "--model", try Project.model()] + bad.map(\.path))
        #expect(encoded.status == 1 && encoded.output.isEmpty)
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
        #expect(argument.status == 1)
        #expect(argument.messages.contains("argument 4") && argument.messages.contains("not UTF-8"), "\(argument.messages)")

        let lines = Data("{\"text\": \"кот\"}\n\n{\"text\": \"".utf8) + Data([0xff]) + Data("\"}\nnot json\n{\"text\": 5}\n{\"text\": \"пёс\"}".utf8)
        let run = try Command.run(["tokenize", "--input", "-", "--json", "--model", model], input: lines)
        #expect(run.status == 1)
        #expect(try run.objects().map { $0["text"] as? String } == ["кот", "пёс"])
        #expect(run.messages.contains("line 3: it is not UTF-8"), "\(run.messages)")
        for line in [4, 5] { #expect(run.messages.contains("line \(line): it is no JSON object with a text"), "\(run.messages)") }
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

    @Test(arguments: [
        ["caption"], ["caption", "x.png", "--unknown"], ["caption", "x.png", "--top-p", "1.5"], ["caption", "x.png", "--temperature", "0"],
        ["caption", "x.png", "--temperature", "nan"], ["caption", "x.png", "--top-k", "-1"], ["caption", "x.png", "--candidates", "0"],
        ["caption", "x.png", "--candidates", "many"], ["caption", "x.png", "--threads", "0"], ["caption", "x.png", "--seed", "-1"],
        ["caption", "x.png", "--greedy", "--candidates", "2"], ["caption", "-", "-"], ["tokenize"], ["tokenize", "x", "--input", "y"],
        ["encode"], ["encode", "a", "b", "--prepared-pixels", "c"], ["info", "a", "--model", "b"], ["info", "a", "b"],
        ["logits", "--ids", "x"], ["unknown"],
    ])
    func badUsageIsTold(arguments: [String]) throws {
        let run = try Command.run(arguments)
        #expect(run.status == 64)
        #expect(run.output.isEmpty && run.messages.contains("Usage: rudolph"), "\(run.messages)")
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
    @Test(arguments: Array(stride(from: 0, through: 280, by: 20)))
    func aSignalLeavesNothingHalfWritten(milliseconds: Int) throws {
        let folder = try TemporaryFolder()
        try Data("\(Array(repeating: 1, count: 4))".utf8).write(to: folder.file("ids.json"))
        let script = "\"$0\" logits --ids ids.json -o logits.f32 --quiet --model \"$1\" & sleep $2; kill -TERM $! 2> /dev/null; wait $!; true"
        _ = try Command.shell(script, [try Project.model(), "\(Double(milliseconds) / 1000)"], folder: folder.url)
        let names = try folder.names()
        #expect(names == ["ids.json"] || names == ["ids.json", "logits.f32"], "\(names)")
        if names.count == 2 {
            #expect(try Data(contentsOf: folder.file("logits.f32")).count == 4 * 3136 * 4)
        }
    }
}
