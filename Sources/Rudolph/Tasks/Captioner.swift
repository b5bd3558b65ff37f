/// How a picture is to be captioned.
public struct CaptionOptions: Sendable {
    /// How several candidates are ordered.
    public enum Ranking: Sendable {
        /// By how often a text came up.
        case count
        /// As the reference's `image_captioning`: perplexities of the text and of the picture given the text, divided by the count.
        case image
    }

    /// A question or instruction before the picture; empty for plain captions.
    public var leftText = ""
    /// What every caption begins with; nil or empty for none.
    public var template: String? = "на картинке"
    /// Texts to generate, 1 to `Session.maximumCandidates`; equal ones are counted.
    public var candidates = 48
    /// How tokens are chosen.
    public var sampling = SamplingOptions.text
    /// How candidates are ordered.
    public var ranking = Ranking.image
    /// The same seed gives the same captions of the same image tokens on every CPU (see ``ImageArithmetic``); nil takes a random one.
    public var seed: UInt64? = nil
    /// Tokens of the right text at most, template included; nil for the whole segment.
    public var maximumTokens: Int? = nil

    /// The reference's choice: 48 candidates ranked by image.
    public init() {}

    /// One candidate, always the most probable token, no template.
    public static var greedy: CaptionOptions {
        var options = CaptionOptions()
        options.template = nil
        options.candidates = 1
        options.sampling = .greedy
        options.ranking = .count
        return options
    }
}

/// A text about a picture.
public struct Caption: Sendable {
    /// The caption without special tokens, white space at its ends taken off.
    public let text: String
    /// The right-text ids: begin, task token, template, text, and the end if it was reached.
    public let ids: [Int]
    /// Candidates that gave this text.
    public let count: Int
    /// Smaller is better; nil when the order is by count.
    public let score: Float?
    /// Perplexity of the text, and of the picture given the text; nil when the order is by count.
    public let textPerplexity, imagePerplexity: Float?
}

/// Captions pictures, and answers questions about them with the question as left text.
public struct Captioner {
    /// What its tasks run on.
    public let session: Session

    /// Tasks that run on `session`.
    public init(_ session: Session) {
        self.session = session
    }

    /// The captions of a picture, best first. Only its centred square is read.
    /// - Parameters:
    ///   - image: of any size.
    ///   - options: how to caption; they are checked before the picture is looked at.
    ///   - partial: called with the text of the first candidate as it grows.
    ///   - progress: called as the work advances.
    /// - Throws: for options out of range and a template that leaves no room, where weights are damaged, memory is short or the session is in use,
    ///   and `RudolphError.stopped`. The session is as usable afterwards as before.
    public func captions(
        of image: RGBImage, _ options: CaptionOptions = CaptionOptions(), partial: PartialTextHandler? = nil, progress: ProgressHandler? = nil
    ) throws(RudolphError) -> [Caption] {
        try captions(options, partial, progress) { () throws(RudolphError) in
            try report(progress, .encodingImage, 0, 1)
            return try session.imageTokens(of: image)
        }
    }

    /// The captions of a picture that is tokens already, as `Session.imageTokens(of:)` gives them, best first.
    /// - Throws: likewise, and for other tokens than the `Configuration.imageLength` codes of a picture.
    public func captions(
        tokens: [Int], _ options: CaptionOptions = CaptionOptions(), partial: PartialTextHandler? = nil, progress: ProgressHandler? = nil
    ) throws(RudolphError) -> [Caption] {
        try captions(options, partial, progress) { () throws(RudolphError) in tokens }
    }

    /// - Parameter picture: gives its tokens, when it is known that there can be captions.
    func captions(
        _ options: CaptionOptions, _ partial: PartialTextHandler?, _ progress: ProgressHandler?, of picture: () throws(RudolphError) -> [Int]
    ) throws(RudolphError) -> [Caption] {
        try session.tasks.take()
        defer { session.tasks.giveBack() }
        let texts = try RightTexts(
            session, left: try session.leftSegment(options.leftText, task: TaskToken.imageToText),
            beginning: try session.rightSegment(options.template ?? "", task: TaskToken.caption),
            candidates: options.candidates, sampling: options.sampling, seed: options.seed, maximumTokens: options.maximumTokens,
            partial: partial)
        let tokens = try picture()
        var found = try texts.generate(after: tokens, progress)
        Session.removeEmpty(from: &found)
        switch options.ranking {
        case .count:
            return Session.byCount(found).map { index in
                Caption(
                    text: found[index].text, ids: found[index].ids, count: found[index].count, score: nil, textPerplexity: nil,
                    imagePerplexity: nil)
            }
        case .image:
            return try rankedByImage(found, tokens, progress)
        }
    }

    /// The reference's `self_reranking_by_image`: each text becomes the left text of a drawing of this picture.
    private func rankedByImage(
        _ found: [(text: String, ids: [Int], count: Int)], _ tokens: [Int], _ progress: ProgressHandler?
    ) throws(RudolphError) -> [Caption] {
        var text: [Float] = []
        var image: [Float] = []
        for (index, entry) in found.enumerated() {
            try report(progress, .ranking, index, found.count)
            let left = try session.leftSegment(entry.text, task: TaskToken.textToImage)
            let perplexity = try session.perplexities(left: left, image: tokens)
            text.append(perplexity.text)
            image.append(perplexity.image)
        }
        var scores = Ranking.scores(text: text, image: image, textWeight: 0.05)
        for index in scores.indices { scores[index] /= Float(found[index].count) }
        let order = found.indices.sorted { scores[$0] < scores[$1] || (scores[$0] == scores[$1] && found[$0].count > found[$1].count) }
        return order.map { index in
            Caption(
                text: found[index].text, ids: found[index].ids, count: found[index].count, score: scores[index],
                textPerplexity: text[index], imagePerplexity: image[index])
        }
    }
}
