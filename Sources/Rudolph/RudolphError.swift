/// What went wrong, in words for a user: the file, the place in it, what was found and what was expected.
public struct RudolphError: Error, CustomStringConvertible, Sendable {
    public let message: String

    public init(_ message: String) {
        self.message = message
    }

    public var description: String { message }
}
