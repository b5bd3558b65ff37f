/// Why a picture could not be read or a file not be written, in words for a user: the file, what was found, what was expected.
public struct ImageFileError: Error, Sendable, Equatable, CustomStringConvertible {
    public let message: String

    public init(_ message: String) {
        self.message = message
    }

    public var description: String { message }
}
