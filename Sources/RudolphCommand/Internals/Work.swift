import Rudolph

/// What a session is for, on which the memory depends that it takes.
enum Work {
    /// Pictures to tokens or back, without the transformer.
    case pictures
    /// Candidates behind a picture.
    case texts(Int)
    /// Candidates that go on with a left text, and perhaps a drawing of the best one.
    case continuations(Int, drawing: Bool, isShown: Bool)
    /// Sequences: guided drawings take two each. Those that are shown become pictures while they are drawn.
    case drawings(Int, isShown: Bool)
    /// Answers to different questions, which share nothing, and their drawings before.
    case answers(Int)

    /// What to say where the memory for it is not there.
    /// - Parameter summary: of the model, with the options of the session.
    func memoryWarning(_ model: Model, _ summary: ModelSummary, _ format: KeyValueFormat) -> String? {
        let needed: UInt64
        switch self {
        case .pictures: return nil
        case .texts(let count): needed = summary.captionBytes(model.summary(batch: count, keyValueFormat: format))
        case .drawings(let count, let isShown):
            needed = summary.drawingBytes(model.summary(batch: count, keyValueFormat: format), isDecoderKept: isShown)
        case .continuations(let count, let drawing, let isShown):
            let configuration = model.configuration
            let position = summary.cacheBytes / UInt64(max(1, configuration.sequenceLength))
            let texts = summary.neededBytes(beside: UInt64(count) * position * UInt64(configuration.leftTextLength))
            let one = model.summary(batch: 1, keyValueFormat: format)
            needed = max(texts, drawing ? summary.drawingBytes(one, isDecoderKept: isShown) : 0)
        case .answers(let count):
            // What turned one batch's drawings into pictures is there while pictures of the next one are read and it is answered.
            let beside = max(UInt64(count) * summary.cacheBytes, summary.imageEncoderNeededBytes)
            needed = summary.drawingNeededBytes(beside: beside, isDecoderKept: true)
        }
        let available = summary.availableBytes
        guard available > 0, needed > available else { return nil }
        return "this may need \(megabytes(needed)) of memory, and \(megabytes(available)) are available; rudolph info says what takes it"
    }
}

extension ModelSummary {
    /// What that many candidates of a caption need.
    func captionBytes(_ batch: BatchSummary) -> UInt64 { neededBytes(beside: batch.captionBytes + batch.captionLogitBytes) }
    /// What that many drawings at once need.
    func drawingBytes(_ batch: BatchSummary, isDecoderKept: Bool = false) -> UInt64 {
        drawingNeededBytes(beside: batch.drawingBytes + batch.drawingLogitBytes, isDecoderKept: isDecoderKept)
    }
}

func megabytes(_ bytes: some BinaryInteger) -> String { "\(decimal(Double(bytes) / 1e6, places: 1)) MB" }
