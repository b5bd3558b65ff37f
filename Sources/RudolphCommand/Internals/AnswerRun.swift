import CommandSupport
import ImageFiles
import Rudolph

/// Asks the tasks of `rudolph answer`, a batch at a time.
final class AnswerRun {
    private let command: AnswerCommand
    private let session: Session
    private let seed: UInt64
    private let progress: TaskProgress
    private let total: Int
    private var failures = FailureCount()
    private(set) var file: AnswerFile
    private(set) var done: Int

    /// - Parameter done: tasks of `total` that are answered already.
    init(_ command: AnswerCommand, _ session: Session, seed: UInt64, _ progress: TaskProgress, _ file: AnswerFile, done: Int, of total: Int) {
        self.command = command
        self.session = session
        self.seed = seed
        self.progress = progress
        self.file = file
        self.done = done
        self.total = total
    }

    /// A task that is being answered.
    private struct Work {
        let id, text: String
        let seed: UInt64
        /// Of the given picture, or of the drawn one.
        var tokens: [Int]?
        var isDrawn = false

        func parts(_ answer: Answer) -> [TaskPart] {
            [TaskPart(type: "text", content: answer.text)] + (isDrawn ? [TaskPart(type: "image", content: AnswerFile.pictureName(id))] : [])
        }
    }

    func write(isWanted: Bool = false) throws { try file.write(isWanted: isWanted) }

    func exit() throws { try failures.exit() }

    func answer(_ samples: ArraySlice<TaskSample>) throws {
        var work: [Work] = []
        progress.place = bar
        for sample in samples {
            try failures.counting {
                defer { progress.clear() }
                work.append(try prepare(sample))
            }
        }
        session.releaseImageEncoder()
        try draw(&work)
        let answers = try ask(work)
        progress.clear()

        let illustrated = zip(work, answers).filter { $0.0.isDrawn }.map { ($0.0.id, $0.0.parts($0.1)) }
        if !illustrated.isEmpty { try file.write(announcing: Dictionary(illustrated) { $1 }) }
        var writer = ResultWriter()
        for (task, answer) in zip(work, answers) {
            try failures.counting {
                try keep(answer, of: task, &writer)
                done += 1
            }
            try writer.flush()
        }
    }

    private func prepare(_ sample: TaskSample) throws -> Work {
        let place = "\(command.input): task \(sample.id)"
        let parts = try sample.checkedParts(place)
        let text = parts.filter { $0.type == "text" }.map { $0.content + " " }.joined()
        guard !Tokenizer.lowercasedAndStripped(text).isEmpty else { throw CommandError("\(place): no text; expected one") }
        let model = session.model
        command.shared.warnIfCut(text, what: "task \(sample.id)", length: model.configuration.leftTextLength, in: model)
        var work = Work(id: sample.id, text: text, seed: seed &+ hash(sample.id))
        if let image = parts.first(where: { $0.type == "image" }) {
            progress.show("encoding image")
            let path = pathOfPicture(image.content, input: command.input)
            let picture = try readImageFile(path)
            work.tokens = try naming(path) { () throws(RudolphError) in try session.imageTokens(of: picture) }
        }
        return work
    }

    /// Draws what the tasks without a picture are asked about.
    private func draw(_ work: inout [Work]) throws {
        let drawn = work.indices.filter { work[$0].tokens == nil }
        if drawn.isEmpty { return }
        var options = DrawOptions()
        options.taskToken = TaskToken.leftUnknown
        options.sampling = command.greedy ? .greedy : .answerImage
        options.batch = command.batch
        let texts = drawn.map { (work[$0].text, work[$0].seed) }
        let pictures = try running { () throws(RudolphError) in
            try Drawer(session).drawEach(texts, options, progress: progress.handler)
        }
        for (index, tokens) in zip(drawn, pictures) {
            work[index].tokens = tokens
            work[index].isDrawn = true
        }
    }

    private func ask(_ work: [Work]) throws -> [Answer] {
        var options = AskOptions()
        options.sampling = command.greedy ? .greedy : .answer
        // Not the numbers that drew the pictures.
        let questions = work.map { (question: $0.text, tokens: $0.tokens, seed: ~$0.seed) }
        return try running { () throws(RudolphError) in
            try Asker(session).askEach(questions, options, progress: progress.handler)
        }
    }

    private func keep(_ answer: Answer, of task: Work, _ writer: inout ResultWriter) throws {
        var object = JSONObject()
        object.set("id", task.id)
        object.set("text", answer.text)
        object.set("ids", answer.ids)
        if task.isDrawn, let tokens = task.tokens {
            let image = try naming("task \(task.id)") { () throws(RudolphError) in try session.image(of: tokens) }
            try file.writePicture(try Picture(image), of: task.id)
            object.set("file", file.picturePath(task.id))
            object.set("tokens", tokens)
        }
        file.answers[task.id] = task.parts(answer)
        if command.json { writer.line(object.text) }
    }

    private var bar: String {
        let width = 12, filled = done * width / max(1, total)
        return "[\(String(repeating: "#", count: filled))\(String(repeating: ".", count: width - filled))] \(done)/\(total) "
    }
}

extension TaskSample {
    /// Its parts, where it can be answered for all that is known without its texts and pictures.
    /// - Parameter place: what messages call it.
    func checkedParts(_ place: String) throws(CommandError) -> [TaskPart] {
        guard let parts else {
            throw CommandError("\(place): no list of parts: \(failure ?? ""); expected [{\"type\": \"text\", \"content\": \"...\"}, ...]")
        }
        if let part = parts.first(where: { $0.type != "text" && $0.type != "image" }) {
            throw CommandError("\(place): a part of type \"\(part.type)\"; expected text or image")
        }
        guard id.utf8.allSatisfy({ isNameByte($0) }), (1...longestID).contains(id.utf8.count) else {
            throw CommandError("\(place): its id cannot be in a file name; expected letters, digits, - and _, \(longestID) at most")
        }
        let images = parts.count { $0.type == "image" }
        guard images <= 1 else { throw CommandError("\(place): \(images) pictures; expected one at most") }
        return parts
    }

    /// Whether a picture is drawn for it.
    var isToBeDrawn: Bool {
        guard let parts = try? checkedParts("") else { return false }
        return !parts.contains { $0.type == "image" }
    }
}

/// A file name has 255 bytes, and there are other characters in a picture's.
private let longestID = 200

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
