/// How far a task has come.
public struct Progress: Sendable {
    /// What a task is doing.
    public enum Stage: Sendable {
        /// The picture becomes tokens.
        case encodingImage
        /// The prompt and the picture's tokens go through the transformer.
        case reading
        /// Tokens are generated.
        case generating
        /// Candidates are scored.
        case ranking

        /// In words, such as "encoding image".
        public var name: String {
            switch self {
            case .encodingImage: "encoding image"
            case .reading: "reading"
            case .generating: "generating"
            case .ranking: "ranking"
            }
        }
    }

    /// What is being done.
    public let stage: Stage
    /// Steps done and steps at most; generation may end earlier.
    public let done, total: Int
}

/// Called as a task advances, on the thread that runs the task; returns false to stop it, which throws `RudolphError.stopped`. It may
/// use the task's session as a `PartialDrawingHandler` may.
public typealias ProgressHandler = (Progress) -> Bool

func report(_ handler: ProgressHandler?, _ stage: Progress.Stage, _ done: Int, _ total: Int) throws(RudolphError) {
    if let handler, !handler(Progress(stage: stage, done: done, total: total)) { throw RudolphError.stopped }
}
