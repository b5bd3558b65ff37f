import Foundation
import Testing

/// What is drawn at random can be drawn again.
@Suite(.serialized) struct SeedTests {
    /// The seed on the one line of standard error.
    private func told(_ run: Command) throws -> UInt64 {
        try #require(run.messages.hasPrefix("seed: ") ? UInt64(run.messages.dropFirst(6).dropLast()) : nil, "\(run.messages)")
    }

    private static let commands = [
        ["caption", Project.sample("heldout_1f99d_noto.png"), "--candidates", "5", "--temperature", "2", "--all"],
        ["ask", "--text", "Сколько?", "--candidates", "5", "--temperature", "2", "--all"],
        ["complete", "кот", "--candidates", "5", "--temperature", "2", "--all"], ["draw", "кошка", "-n", "2", "-o", "x.png"],
    ]

    @Test(arguments: commands)
    func aSeedThatWasToldGivesTheSame(arguments: [String]) throws {
        let folder = try TemporaryFolder()
        let arguments = arguments + ["--json", "--model", try Project.model()]
        let first = try Command.run(arguments, folder: folder.url)
        #expect(first.status == 0, "\(first.messages)")
        let seed = try told(first)
        #expect(try first.objects().allSatisfy { ($0["seed"] as? NSNumber)?.uint64Value == seed }, "\(first.text)")
        let again = try Command.run(arguments + ["--seed", "\(seed)"], folder: folder.url)
        #expect(again.text == first.text && again.messages.isEmpty, "\(again.text)\(again.messages)")
        let other = try Command.run(arguments + ["--quiet"], folder: folder.url)
        #expect(other.messages.isEmpty && other.text != first.text, "\(other.text)\(other.messages)")
    }

    @Test(arguments: [
        ["caption", Project.sample("train_1f34e_noto.png")], ["ask", "--text", "Сколько?"], ["complete", "кот"], ["draw", "кошка", "-o", "x.png"],
    ])
    func theMostProbableNeedsNoSeed(arguments: [String]) throws {
        let folder = try TemporaryFolder()
        let run = try Command.run(arguments + ["--greedy", "--json", "--model", try Project.model()], folder: folder.url)
        #expect(run.status == 0 && run.messages.isEmpty && !run.text.contains("\"seed\""), "\(run.text)\(run.messages)")
    }

    /// All that a seed can be is told as it is.
    @Test func theLargestSeedIsTold() throws {
        let seed = UInt64.max
        let arguments = ["complete", "кот", "--candidates", "1", "--seed", "\(seed)", "--json", "--model", try Project.model()]
        #expect((try Command.run(arguments).objects().first?["seed"] as? NSNumber)?.uint64Value == seed)
    }

    @Test func answersTellTheirSeed() throws {
        let folder = try TemporaryFolder()
        let tasks = (0..<3).map { "\"\($0)\": [{\"type\": \"text\", \"content\": \"кот \($0)\"}]" }
        try Data("{\(tasks.joined(separator: ", "))}".utf8).write(to: folder.file("tasks.json"))
        for name in ["first", "second"] { try FileManager.default.createDirectory(at: folder.file(name), withIntermediateDirectories: true) }
        let arguments = ["answer", "tasks.json", "--model", try Project.model()]
        let first = try Command.run(arguments + ["-o", "first/x.json"], folder: folder.url)
        let lines = first.messages.split(separator: "\n")
        try #require(lines.count == 2 && lines[0].hasPrefix("seed: "), "\(first.messages)")
        let seed = String(lines[0].dropFirst(6))
        #expect(try Command.run(arguments + ["-o", "second/x.json", "--seed", seed], folder: folder.url).status == 0)
        for name in ["x.json", "images/image_0.jpg", "images/image_2.jpg"] {
            #expect(try Data(contentsOf: folder.file("first/\(name)")) == Data(contentsOf: folder.file("second/\(name)")), "\(name)")
        }
    }
}
