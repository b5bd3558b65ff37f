/// Orders pictures by a text: the reference's `self_reranking_by_text`.
public struct Ranker {
    /// What its tasks run on.
    public let session: Session

    /// Tasks that run on `session`.
    public init(_ session: Session) {
        self.session = session
    }

    /// Pictures, as image tokens, by how well the text describes them, best first. Each is read with the text as right text.
    /// - Throws: for no pictures and for other tokens than the m * m codes of a picture, where weights are damaged or memory is short, and
    ///   `RudolphError.stopped`. The session is as usable afterwards as before.
    public func ranked(
        _ pictures: [[Int]], by text: String, textWeight: Float = 0.95, progress: ProgressHandler? = nil
    ) throws(RudolphError) -> [Drawing] {
        guard !pictures.isEmpty else { throw RudolphError("no pictures to rank") }
        for picture in pictures { try session.model.configuration.validate(imageTokens: picture) }
        let left = try session.captionLeftText()
        let right = try session.rightSegment(text, task: FileSchema.captionRightTaskToken)
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
            Drawing(tokens: pictures[$0], score: scores[$0], textPerplexity: texts[$0], imagePerplexity: images[$0])
        }
    }
}
