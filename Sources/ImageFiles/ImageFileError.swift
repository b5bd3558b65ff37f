/// Why a picture could not be read or a file not be written.
public struct ImageFileError: Error, Sendable, Equatable, CustomStringConvertible {
    /// One line in words for a user: the file, what was found, what was expected. The file's name is in it as it was given.
    public let message: String

    package init(_ message: String) {
        self.message = message
    }

    /// The message.
    public var description: String { message }
}
