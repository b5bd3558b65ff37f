import CKernels

/// How a picture is to be classified.
public struct ClassifyOptions: Sendable {
    /// The text before the picture, in which `{}` stands for the class.
    public var leftTemplate = ""
    /// The text behind the picture, whose perplexity counts.
    public var rightTemplate = "{}"

    /// The reference's choice: the class alone, as a caption.
    public init() {}
}

/// A class and how well it fits a picture.
public struct Classification: Sendable {
    /// As it was given.
    public let name: String
    /// Perplexity of the class's text given the picture; smaller fits better. Classes are ordered by it.
    public let perplexity: Float
    /// The reference's score: the softmax of the perplexities divided by their norm; smaller fits better. Beside a very large perplexity
    /// those of all other classes are equal.
    public let score: Float
}

/// Zero-shot classification: which of some texts a picture would be captioned with.
public struct Classifier {
    /// What its tasks run on.
    public let session: Session

    /// Tasks that run on `session`.
    public init(_ session: Session) {
        self.session = session
    }

    /// The classes, best first. They are checked before the picture is looked at.
    /// - Throws: for no classes, where weights are damaged, memory is short or the session is in use, and `RudolphError.stopped`. The session is as
    ///   usable afterwards as before.
    public func classify(
        _ image: RGBImage, as names: [String], _ options: ClassifyOptions = ClassifyOptions(), progress: ProgressHandler? = nil
    ) throws(RudolphError) -> [Classification] {
        let perplexities = try perplexities(as: names, options, progress) { () throws(RudolphError) in
            try report(progress, .encodingImage, 0, 1)
            return try session.imageTokens(of: image)
        }
        return Self.ordered(names, perplexities)
    }

    /// The same of a picture that is tokens already.
    /// - Throws: likewise, and for other tokens than the `Configuration.imageLength` codes of a picture.
    public func classify(
        tokens: [Int], as names: [String], _ options: ClassifyOptions = ClassifyOptions(), progress: ProgressHandler? = nil
    ) throws(RudolphError) -> [Classification] {
        Self.ordered(names, try perplexities(as: names, options, progress) { () throws(RudolphError) in tokens })
    }

    /// Perplexities of the classes' texts given the picture, in the order of the classes.
    /// - Parameter picture: gives its tokens, when it is known that there can be perplexities.
    func perplexities(
        as names: [String], _ options: ClassifyOptions, _ progress: ProgressHandler?, of picture: () throws(RudolphError) -> [Int]
    ) throws(RudolphError) -> [Double] {
        try session.tasks.take()
        defer { session.tasks.giveBack() }
        let configuration = session.model.configuration
        guard !names.isEmpty else { throw RudolphError("no classes, expected at least one") }
        var left: [[Int]] = []
        var right: [[Int]] = []
        for name in names {
            left.append(try session.leftSegment(Self.fill(options.leftTemplate, name), task: TaskToken.imageToText))
            right.append(try session.rightSegment(Self.fill(options.rightTemplate, name), task: TaskToken.caption))
        }
        let tokens = try picture()
        try configuration.validate(imageTokens: tokens)
        var perplexities: [Double] = []
        while perplexities.count < names.count {
            // Classes with the same left text share it and the picture.
            let start = perplexities.count
            let end = left[start...].firstIndex { $0 != left[start] } ?? names.count
            try session.readLeftText(left[start], nil)
            let found = try session.perplexities(
                of: [[Int]](right[start..<end]), at: configuration.rightTextStart, after: tokens, head: .text(rows: configuration.textTokenRows)
            ) { (done) throws(RudolphError) in try report(progress, .ranking, start + done, names.count) }
            for perplexity in found { perplexities.append(perplexity.mean) }
        }
        return perplexities
    }

    /// Classes by perplexity, with the reference's scores. Perplexities can be so large that their squares are no floats.
    static func ordered(_ names: [String], _ perplexities: [Double]) -> [Classification] {
        var norm = 0.0
        for value in perplexities { norm += value * value }
        norm = norm.squareRoot()
        let largest = (perplexities.max() ?? 0) / norm
        var scores = perplexities.map { rk_exp(Float($0 / norm - largest)) }
        var sum: Float = 0
        for score in scores { sum += score }
        for index in scores.indices { scores[index] /= sum }
        return Ranking.order(of: perplexities).map {
            Classification(name: names[$0], perplexity: Perplexity.float(perplexities[$0]), score: scores[$0])
        }
    }

    private static func fill(_ template: String, _ name: String) -> String {
        let characters = Array(template.unicodeScalars)
        var result = ""
        var index = 0
        while index < characters.count {
            if characters[index] == "{", index + 1 < characters.count, characters[index + 1] == "}" {
                result += name
                index += 2
            } else {
                result.unicodeScalars.append(characters[index])
                index += 1
            }
        }
        return result
    }
}
