import ArgumentParser
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
            <RT_UNK> (top-k 32, top-p 0.8, temperature 1). Drawn pictures go to images/image_ID.jpg beside the output.

            The output is written anew after each batch. Tasks that it has answered already are not asked again, so that a run that was \
            interrupted goes on where it was; with the same --seed it ends with the same answers.

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

    @Option(help: ArgumentHelp("The same seed gives the same results, on every machine (default: a random one).", valueName: "n"))
    var seed: UInt64?

    @Flag(help: "Print one JSON object per answer: {\"id\": id, \"text\": text, \"ids\": [...]}, and \"file\" and \"tokens\" of a drawn picture.")
    var json = false

    @OptionGroup var sessionOptions: SessionOptions

    @OptionGroup var shared: SharedOptions

    func validate() throws {
        try validateCount("--batch", batch, atMost: 64)
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
        var predictions = try existingPredictions()
        let pending = samples.filter { predictions[$0.id] == nil }
        let model = try shared.openModel()
        if pending.contains(where: { $0.parts.map { !$0.contains { $0.type == "image" } } ?? false }) { try model.requireImageDecoder() }
        let session = try shared.openSession(model, sessionOptions, for: .answers(batch))
        let seed = self.seed ?? UInt64.random(in: .min ... .max)
        let progress = shared.progress()
        defer { progress.clear() }

        var failures = FailureCount()
        var done = samples.count - pending.count
        let kept = done
        var written = done
        func write() throws {
            if done == written { return }
            let text = encodePredictions(predictions)
            try holdingSignals { try OutputFile.write(Array(text.utf8), path: output) }
            written = done
        }
        do {
            for start in stride(from: 0, to: pending.count, by: batch) {
                let group = pending[start..<min(start + batch, pending.count)]
                try answer(group, session, seed, progress, &predictions, &failures, done: &done, of: samples.count)
                try write()
            }
        } catch {
            progress.clear()
            // Of a batch that did not come to its end, too.
            try write()
            if error is ExitCode { note("\(output): \(done) of \(samples.count) tasks answered; the same command goes on") }
            throw error
        }
        progress.clear()
        if pending.isEmpty, predictions.isEmpty { try holdingSignals { try OutputFile.write(Array("{}\n".utf8), path: output) } }
        if !shared.quiet { note("\(output): \(done) of \(samples.count) tasks answered, \(kept) of them before") }
        try failures.exit()
    }

    /// A task that is being answered.
    private struct Work {
        let id, text: String
        let seed: UInt64
        /// Of the given picture, or of the drawn one.
        var tokens: [Int]?
        var isDrawn = false
    }

    private func answer(
        _ samples: ArraySlice<TaskSample>, _ session: Session, _ seed: UInt64, _ progress: TaskProgress,
        _ predictions: inout [String: [TaskPart]], _ failures: inout FailureCount, done: inout Int, of total: Int
    ) throws {
        var work: [Work] = []
        progress.place = bar(done, total)
        for sample in samples {
            try failures.counting {
                defer { progress.clear() }
                work.append(try prepare(sample, session, seed, progress))
            }
        }
        session.releaseImageEncoder()

        let drawn = work.indices.filter { work[$0].tokens == nil }
        if !drawn.isEmpty {
            var options = DrawOptions()
            options.taskToken = "<LT_UNK>"
            options.sampling = greedy ? .greedy : .answerImage
            options.batch = batch
            let pictures = try running { () throws(RudolphError) in
                try Drawer(session).drawEach(drawn.map { (work[$0].text, work[$0].seed) }, options, progress: progress.handler)
            }
            for (index, tokens) in zip(drawn, pictures) {
                work[index].tokens = tokens
                work[index].isDrawn = true
            }
        }

        var options = AskOptions()
        options.sampling = greedy ? .greedy : .answer
        // Not the numbers that drew the pictures.
        let questions = work.map { (question: $0.text, imageTokens: $0.tokens, seed: ~$0.seed) }
        let answers = try running { () throws(RudolphError) in
            try Asker(session).askEach(questions, options, progress: progress.handler)
        }
        progress.clear()

        var writer = ResultWriter()
        for (task, answer) in zip(work, answers) {
            try failures.counting {
                predictions[task.id] = try parts(of: task, answer, session, &writer)
                done += 1
            }
            try writer.flush()
        }
    }

    private func prepare(_ sample: TaskSample, _ session: Session, _ seed: UInt64, _ progress: TaskProgress) throws -> Work {
        let place = "\(input): task \(sample.id)"
        guard let parts = sample.parts else {
            throw CommandError("\(place): no list of parts: \(sample.failure ?? ""); expected [{\"type\": \"text\", \"content\": \"...\"}, ...]")
        }
        if let part = parts.first(where: { $0.type != "text" && $0.type != "image" }) {
            throw CommandError("\(place): a part of type \"\(part.type)\"; expected text or image")
        }
        guard sample.id.utf8.allSatisfy({ isNameByte($0) }), (1...longestID).contains(sample.id.utf8.count) else {
            throw CommandError("\(place): its id cannot be in a file name; expected letters, digits, - and _, \(longestID) at most")
        }
        let images = parts.filter { $0.type == "image" }
        guard images.count <= 1 else { throw CommandError("\(place): \(images.count) pictures; expected one at most") }
        let text = parts.filter { $0.type == "text" }.map { $0.content + " " }.joined()
        guard !Tokenizer.lowercasedAndStripped(text).isEmpty else { throw CommandError("\(place): no text; expected one") }
        shared.warnIfCut(text, what: "task \(sample.id)", length: session.model.configuration.leftTextLength, in: session.model)
        var work = Work(id: sample.id, text: text, seed: seed &+ hash(sample.id))
        if let image = images.first {
            progress.show("encoding image")
            let path = image.content.hasPrefix("/") ? image.content : folder(of: input) + image.content
            let picture = try readImageFile(path)
            work.tokens = try naming(path) { () throws(RudolphError) in try session.imageTokens(of: picture) }
        }
        return work
    }

    private func parts(of task: Work, _ answer: Answer, _ session: Session, _ writer: inout ResultWriter) throws -> [TaskPart] {
        var object = JSONObject()
        object.set("id", task.id)
        object.set("text", answer.text)
        object.set("ids", answer.ids)
        var parts = [TaskPart(type: "text", content: answer.text)]
        if task.isDrawn, let tokens = task.tokens {
            let file = "images/image_\(task.id).jpg"
            let image = try naming("task \(task.id)") { () throws(RudolphError) in try session.image(of: tokens) }
            let picture = try Picture(width: image.width, height: image.height, pixels: image.pixels)
            try holdingSignals {
                try OutputFile.makeFolder(path: folder(of: output) + "images")
                try picture.write(path: folder(of: output) + file)
            }
            parts.append(TaskPart(type: "image", content: file))
            object.set("file", folder(of: output) + file)
            object.set("tokens", tokens)
        }
        if json { writer.line(object.text) }
        return parts
    }

    private func existingPredictions() throws -> [String: [TaskPart]] {
        guard fileExists(output) else { return [:] }
        let bytes = try InputFile(path: output).readAll()
        // An empty file may have been made to be written to.
        if bytes.isEmpty { return [:] }
        var predictions: [String: [TaskPart]] = [:]
        for sample in try decodeTasks(bytes, name: output) {
            guard let parts = sample.parts else {
                throw CommandError("\(output): task \(sample.id): no answer: \(sample.failure ?? ""); expected a list of parts")
            }
            predictions[sample.id] = parts
        }
        return predictions
    }

    private func bar(_ done: Int, _ total: Int) -> String {
        let width = 12, filled = done * width / max(1, total)
        return "[\(String(repeating: "#", count: filled))\(String(repeating: ".", count: width - filled))] \(done)/\(total) "
    }
}

/// A file name has 255 bytes, and there are other characters in a picture's.
private let longestID = 200

/// What comes before the last component of a path, with its slash.
private func folder(of path: String) -> String {
    path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
}

private func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "-"), UInt8(ascii: "_"):
        true
    default: false
    }
}

/// FNV-1a, so that each task has a seed of its own.
private func hash(_ id: String) -> UInt64 {
    id.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
}
