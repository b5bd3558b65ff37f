import ArgumentParser
import CommandSupport
import ImageFiles
import Rudolph

struct AnswerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "answer",
        abstract: "Answer a file of tasks in the format of the Fusion Brain Challenge 2.0.",
        discussion: """
            The input is {"0": [{"type": "text", "content": "..."}, {"type": "image", "content": "images/00000.jpg"}], ...}, pictures \
            named relative to it. All kinds of task are asked the same way: the texts of a task, joined, are the left text behind <LT_UNK>; \
            where there is no picture one is drawn first (top-k 1024, top-p 0.975, temperature 1); then the right text is written behind \
            <RT_UNK> (top-k 32, top-p 0.8, temperature 1). Drawn pictures go to images/image_ID.jpg beside the output; one that is there of \
            other tasks is not replaced: each file of tasks needs an output in a folder of its own.

            The output is written anew with each batch. Tasks that it has answered already, with their pictures, are not asked again, so \
            that a run that was interrupted goes on where it was; with the same --seed it ends with the same answers.

            EXAMPLES
              rudolph answer input.json -o predictions.json
              rudolph answer input.json -o predictions.json --greedy --batch 16
            """)

    @Argument(help: ArgumentHelp("The tasks; - reads standard input, and pictures relative to the current folder.", valueName: "file"),
        completion: .file(extensions: ["json"]))
    var input: String

    @Option(name: .shortAndLong, help: ArgumentHelp("The answers to write, or to go on with.", valueName: "file"),
        completion: .file(extensions: ["json"]))
    var output: String

    @Option(help: ArgumentHelp("Tasks whose pictures are drawn at the same time.", valueName: "n"))
    var batch = 8

    @Flag(help: "Always the most probable token: the same result every time.")
    var greedy = false

    @Option(help: seedHelp)
    var seed: UInt64?

    @Flag(help: "Print one JSON object per answer: {\"id\": id, \"text\": text, \"ids\": [...]}, and \"file\" and \"tokens\" of a drawn picture.")
    var json = false

    @OptionGroup var sessionOptions: SessionOptions

    @OptionGroup var shared: SharedOptions

    func validate() throws {
        try validateCount("--batch", batch, atMost: Session.maximumBatch)
        if greedy, seed != nil { throw ValidationError("--greedy takes the most probable tokens: no --seed") }
    }

    func run() throws {
        try OutputFile.check(path: output)
        guard !fileExists(output) || isRegularFile(output) else {
            throw CommandError("\(output): it is no regular file; expected one, which is read to go on with and written anew after each batch")
        }
        if isSameFile(input, output) { throw CommandError("\(output): it is the input as well; expected another file for the answers") }
        let (name, bytes) = try readInput(input)
        let samples = try decodeTasks(bytes, name: name)
        let file = try AnswerFile(path: output)
        let pending = samples.filter { !file.isComplete($0.id) }
        try file.checkPictures(of: pending, samples, input: input)
        let model = try shared.openModel()
        if pending.contains(where: \.isToBeDrawn) { try model.requireImageDecoder() }
        let session = try shared.openSession(model, sessionOptions, for: .answers(batch))
        let seed = greedy || pending.isEmpty ? 0 : shared.seed(self.seed)
        let progress = shared.progress()
        defer { progress.clear() }

        let kept = samples.count - pending.count
        let run = AnswerRun(self, session, seed: seed, progress, file, done: kept, of: samples.count)
        do {
            for start in stride(from: 0, to: pending.count, by: batch) {
                try run.answer(pending[start..<min(start + batch, pending.count)])
                try run.write()
            }
        } catch {
            progress.clear()
            // Of a batch that did not come to its end, too.
            try run.write()
            let options = greedy || self.seed != nil ? "" : " with --seed \(seed)"
            if error is ExitCode { note("\(output): \(run.done) of \(samples.count) tasks answered; the same command\(options) goes on") }
            throw error
        }
        progress.clear()
        if samples.isEmpty, run.file.answers.isEmpty { try run.write(isWanted: true) }
        if !shared.quiet { note("\(output): \(run.done) of \(samples.count) tasks answered, \(kept) of them before") }
        try run.exit()
    }
}
