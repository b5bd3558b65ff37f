/// Where a picture came among those that were ranked.
public struct RankedPicture: Sendable {
    /// Its place among the pictures as they were given.
    public let index: Int
    /// Smaller is better; it compares pictures of one ranking, not of different ones.
    public let score: Float
    /// Perplexities of the text given the picture, and of the picture.
    public let textPerplexity, imagePerplexity: Float
}

/// Orders pictures by a text: the reference's `self_reranking_by_text`.
public struct Ranker {
    /// What its tasks run on.
    public let session: Session

    /// Tasks that run on `session`.
    public init(_ session: Session) {
        self.session = session
    }

    /// Pictures, as image tokens, by how well the text describes them, best first; equally good ones in the order in which they were given. Each is
    /// read with the text as right text.
    /// - Parameters:
    ///   - pictures: `Configuration.imageLength` image tokens each.
    ///   - text: what they are to show.
    ///   - textWeight: the share of the text's perplexity in the score, 0 to 1; that of the picture's is the rest.
    ///   - progress: called as the work advances.
    /// - Throws: for no pictures, for other tokens than the codes of a picture and for another weight, where weights are damaged or memory is
    ///   short, and `RudolphError.stopped`. The session is as usable afterwards as before.
    public func ranked(
        _ pictures: [[Int]], by text: String, textWeight: Float = 0.95, progress: ProgressHandler? = nil
    ) throws(RudolphError) -> [RankedPicture] {
        try session.tasks.take()
        defer { session.tasks.giveBack() }
        return try rank(pictures, by: text, textWeight: textWeight, progress: progress)
    }

    /// The same within another task.
    func rank(
        _ pictures: [[Int]], by text: String, textWeight: Float = 0.95, progress: ProgressHandler?
    ) throws(RudolphError) -> [RankedPicture] {
        guard !pictures.isEmpty else { throw RudolphError("no pictures to rank") }
        guard textWeight >= 0, textWeight <= 1 else { throw RudolphError("a text weight of \(Double(textWeight)), expected 0 to 1") }
        for picture in pictures { try session.model.configuration.validate(imageTokens: picture) }
        let left = try session.captionLeftText()
        let right = try session.rightSegment(text, task: TaskToken.caption)
        var texts: [Float] = []
        var images: [Float] = []
        for (index, picture) in pictures.enumerated() {
            try report(progress, .ranking, index, pictures.count)
            try session.readLeftText(left, nil)
            let perplexity = try session.perplexities(image: picture, right: right)
            texts.append(perplexity.text)
            images.append(perplexity.image)
        }
        let scores = Ranking.scores(text: texts, image: images, textWeight: textWeight)
        return Ranking.order(of: scores).map {
            RankedPicture(index: $0, score: scores[$0], textPerplexity: texts[$0], imagePerplexity: images[$0])
        }
    }
}
