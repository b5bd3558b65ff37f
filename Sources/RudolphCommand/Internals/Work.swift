import Rudolph

/// What a session is for, on which the memory depends that it takes.
enum Work {
    /// Pictures to tokens or back, without the transformer.
    case pictures
    /// Candidates behind a picture, of which there may be several, one after the other.
    case texts(Int, pictures: Int = 1, isRanked: Bool = false)
    /// Texts behind a picture that are compared.
    case classes(Int)
    /// Candidates that go on with a left text, and perhaps a drawing of the best one.
    case continuations(Int, drawing: Bool, isShown: Bool)
    /// Sequences: guided drawings take two each. Those that are shown become pictures while they are drawn.
    case drawings(Int, isShown: Bool, isRanked: Bool = false)
    /// Answers to different questions, which share nothing, and their drawings before.
    case answers(Int)

    /// What to say where the memory for it is not there.
    /// - Parameter summary: of the model, with the options of the session.
    func memoryWarning(_ model: Model, _ summary: ModelSummary, _ format: KeyValueFormat) -> String? {
        let needed = neededBytes(model, summary, format), available = summary.availableBytes
        guard available > 0, needed > available else { return nil }
        return "this may need \(megabytes(needed)) of memory, and \(megabytes(available)) are available; rudolph info says what takes it"
    }

    /// What it takes in memory at most; 0 where that is not known.
    func neededBytes(_ model: Model, _ summary: ModelSummary, _ format: KeyValueFormat) -> UInt64 {
        switch self {
        case .pictures:
            return 0
        case .texts(let count, let pictures, let isRanked):
            let batch = model.summary(batch: count, keyValueFormat: format), logits = batch.captionLogitBytes(isRanked: isRanked)
            // The second picture is read when the transformer is in memory already, without the candidates' keys and values.
            let next = pictures > 1 ? summary.neededBytes(beside: logits + summary.imageEncoderNeededBytes) : 0
            return max(summary.captionBytes(batch, isRanked: isRanked), next)
        case .classes(let count):
            let scoring = model.summary(scoring: count, length: model.configuration.rightTextLength, keyValueFormat: format)
            return summary.neededBytes(beside: scoring.cacheBytes + scoring.logitBytes)
        case .drawings(let count, let isShown, let isRanked):
            return summary.drawingBytes(model.summary(batch: count, keyValueFormat: format), isDecoderKept: isShown, isRanked: isRanked)
        case .continuations(let count, let drawing, let isShown):
            let configuration = model.configuration
            let position = summary.cacheBytes / UInt64(max(1, configuration.sequenceLength))
            let own = UInt64(count) * position * UInt64(configuration.leftTextLength)
            let scoring = model.summary(scoring: count, length: configuration.leftTextLength, keyValueFormat: format)
            // The logits' room stays, and is as large as any task needed it.
            let texts = summary.neededBytes(beside: max(own, scoring.cacheBytes) + scoring.logitBytes)
            let one = model.summary(batch: 1, keyValueFormat: format)
            let beside = one.drawingBytes + max(one.drawingLogitBytes, scoring.logitBytes)
            return max(texts, drawing ? summary.drawingNeededBytes(beside: beside, isDecoderKept: isShown) : 0)
        case .answers(let count):
            // What turned one batch's drawings into pictures is there while pictures of the next one are read and it is answered.
            let batch = model.summary(batch: count, keyValueFormat: format)
            let beside = max(UInt64(count) * summary.cacheBytes, summary.imageEncoderNeededBytes)
            let logits = max(batch.captionLogitBytes, batch.drawingLogitBytes)
            return summary.drawingNeededBytes(beside: beside + logits, isDecoderKept: true)
        }
    }
}

extension ModelSummary {
    /// What that many candidates of a caption need.
    func captionBytes(_ batch: BatchSummary, isRanked: Bool) -> UInt64 {
        neededBytes(beside: batch.captionBytes + batch.captionLogitBytes(isRanked: isRanked))
    }
    /// What that many drawings at once need.
    func drawingBytes(_ batch: BatchSummary, isDecoderKept: Bool = false, isRanked: Bool = false) -> UInt64 {
        let logits = isRanked ? max(batch.drawingLogitBytes, batch.rankingLogitBytes) : batch.drawingLogitBytes
        return drawingNeededBytes(beside: batch.drawingBytes + logits, isDecoderKept: isDecoderKept)
    }
}

extension BatchSummary {
    func captionLogitBytes(isRanked: Bool) -> UInt64 { isRanked ? max(captionLogitBytes, rankingLogitBytes) : captionLogitBytes }
}

func megabytes(_ bytes: some BinaryInteger) -> String { "\(decimal(Double(bytes) / 1e6, places: 1)) MB" }
