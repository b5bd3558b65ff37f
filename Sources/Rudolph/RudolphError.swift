/// What went wrong, in words for a user: the file, the place in it, what was found and what was expected.
public struct RudolphError: Error, CustomStringConvertible, Sendable {
    public let message: String
    /// Whether this is no failure but a progress handler's wish to stop.
    public let isStop: Bool

    public init(_ message: String) {
        self.message = message
        isStop = false
    }

    private init(stop message: String) {
        self.message = message
        isStop = true
    }

    /// What a task throws after its progress handler returned false.
    public static let stopped = RudolphError(stop: "stopped")

    public var description: String { message }
}
