import ImageFiles

/// The answers of `rudolph answer`: their file, and beside it the pictures that were drawn for them.
struct AnswerFile {
    let path: String
    var answers: [String: [TaskPart]]
    /// What is in the file.
    private var written: String

    /// Reads what an earlier run has left.
    init(path: String) throws {
        self.path = path
        answers = try Self.read(path)
        written = encodePredictions(answers)
    }

    private static func read(_ path: String) throws -> [String: [TaskPart]] {
        guard fileExists(path) else { return [:] }
        let bytes = try InputFile(path: path).readAll()
        // An empty file may have been made to be written to.
        if bytes.isEmpty { return [:] }
        var answers: [String: [TaskPart]] = [:]
        for sample in try decodeTasks(bytes, name: path) {
            guard let parts = sample.parts else {
                throw CommandError("\(path): task \(sample.id): no answer: \(sample.failure ?? ""); expected a list of parts")
            }
            answers[sample.id] = parts
        }
        return answers
    }

    /// What the file calls the picture that is drawn for a task.
    static func pictureName(_ id: String) -> String { "images/image_\(id).jpg" }

    func picturePath(_ id: String) -> String { folder(of: path) + Self.pictureName(id) }

    private var pictureFolder: String { folder(of: path) + "images" }

    /// Whether a task needs not be asked again. A run that was killed may have left the name of a picture without the picture.
    func isComplete(_ id: String) -> Bool {
        guard let parts = answers[id] else { return false }
        let isIllustrated = parts.contains { $0.type == "image" && $0.content == Self.pictureName(id) }
        return !isIllustrated || fileExists(picturePath(id))
    }

    /// Writes the answers that are there, and those whose pictures come next: so that of any picture it can be told whose it is.
    /// - Parameter isWanted: even where there is nothing new.
    mutating func write(announcing next: [String: [TaskPart]] = [:], isWanted: Bool = false) throws {
        let text = encodePredictions(answers.merging(next) { $1 })
        if text == written, !isWanted { return }
        try holdingSignals { try OutputFile.write(Array(text.utf8), path: path) }
        written = text
    }

    func writePicture(_ picture: Picture, of id: String) throws {
        try OutputFile.makeFolder(path: pictureFolder)
        try writeFiles([(try picture.jpegData(), picturePath(id))])
    }

    /// Throws where a picture that is to be drawn could not be written, or would take the place of another: of a task's own, or of one that is
    /// there and not of this file.
    func checkPictures(of pending: [TaskSample], _ samples: [TaskSample], input: String) throws {
        let drawn = pending.filter(\.isToBeDrawn).map(\.id)
        if !drawn.isEmpty { try OutputFile.checkFolder(path: pictureFolder) }
        let given = samples.flatMap { sample in
            (sample.parts ?? []).filter { $0.type == "image" }.map { (path: pathOfPicture($0.content, input: input), id: sample.id) }
        }
        let owners = Dictionary(given.map { ($0.path, $0.id) }) { first, _ in first }
        for id in drawn {
            let target = picturePath(id), isThere = fileExists(target)
            if let owner = owners[target] ?? (isThere ? given.first { isSameFile($0.path, target) }?.id : nil) {
                throw CommandError("\(target): it is a picture of task \(owner), and the one drawn for task \(id) would replace it; "
                    + "expected -o in another folder")
            }
            if isThere {
                throw CommandError("\(target): it is there already and not of \(path), and the picture drawn for task \(id) would replace it; "
                    + "expected -o in another folder, or the picture moved away")
            }
        }
    }
}

/// Where a picture of a task lies: its name is relative to the file of the tasks.
func pathOfPicture(_ name: String, input: String) -> String {
    name.hasPrefix("/") ? name : folder(of: input) + name
}

/// What comes before the last component of a path, with its slash.
private func folder(of path: String) -> String {
    path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
}
