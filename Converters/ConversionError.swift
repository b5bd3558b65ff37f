import Foundation
import Rudolph

/// What can go wrong between a checkpoint and a packed file. The text names the file, the place in it, what was found and what was
/// expected; it is written for the person at the terminal.
public enum ConversionError: Error, Equatable, CustomStringConvertible {
    /// An input is not what it should be.
    case invalid(file: String, reason: String)
    /// The system refused an operation; `code` is errno.
    case system(file: String, operation: String, code: Int32)
    /// A file cannot be mapped, or is no model file: what the runtime says, which begins with the file's name.
    case runtime(message: String)
    /// libcrypto could not compute a digest.
    case digest(reason: String)
    /// The progress callback asked to stop.
    case cancelled

    public var description: String {
        switch self {
        case .invalid(let file, let reason): printable("\(file): \(reason)")
        case .system(let file, let operation, let code): printable("\(file): cannot \(operation): \(String(cString: strerror(code)))")
        case .runtime(let message): message
        case .digest(let reason): "libcrypto cannot compute a SHA-256: \(reason)"
        case .cancelled: "stopped"
        }
    }
}

extension MappedFile {
    /// Maps an input of a conversion.
    convenience init(input path: String) throws(ConversionError) {
        do throws(RudolphError) {
            try self.init(path: path)
        } catch {
            throw .runtime(message: error.message)
        }
    }
}

extension GGUF {
    /// Reads the header of a packed file.
    init(input path: String) throws(ConversionError) {
        let file = try MappedFile(input: path)
        do throws(RudolphError) {
            try self.init(file)
        } catch {
            throw .runtime(message: error.message)
        }
    }
}
