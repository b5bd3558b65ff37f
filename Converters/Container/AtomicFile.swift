import CPlatform
import Foundation

/// A file that appears under its name only when it is complete: see `rp_output_open`. Unless `commit` was reached, nothing is left behind.
final class AtomicFile {
    /// As it was given: what messages name.
    private let path: String
    private let output: OpaquePointer
    /// Where it is until then.
    let temporaryPath: String

    /// Bytes written so far, one after the other.
    private(set) var size = 0

    init(path: String) throws(ConversionError) {
        _ = try Self.status(path)
        var output: OpaquePointer?
        let code = rp_output_open(path, &output)
        guard code == 0, let output else { throw .system(file: path, operation: "create a file beside it", code: code) }
        guard let temporaryPath = String(validatingCString: rp_output_name(output)) else {
            rp_output_close(output)
            throw Self.namelessLink(path)
        }
        self.path = path
        self.output = output
        self.temporaryPath = temporaryPath
    }

    deinit {
        rp_output_close(output)
    }

    /// Fails when `path` cannot be written, as far as can be told before the work, or is one of the files that it is made from.
    static func check(_ path: String, isNoneOf inputs: [String]) throws(ConversionError) {
        var input = stat()
        guard let output = try status(path) else { return }
        for name in inputs where stat(name, &input) == 0 && input.st_dev == output.st_dev && input.st_ino == output.st_ino {
            throw .invalid(file: path, reason: "would replace the input \(name)")
        }
    }

    /// The state of the file that `path` names, nil when there is none. Fails when no file can have that name.
    private static func status(_ path: String) throws(ConversionError) -> stat? {
        guard let last = path.utf8.last, last != UInt8(ascii: "/"), path != "-" else {
            throw .invalid(file: "output \"\(path)\"", reason: "is not the name of a file")
        }
        var status = stat()
        guard stat(path, &status) == 0 else {
            guard errno == ENOENT else { throw .system(file: path, operation: "create", code: errno) }
            return nil
        }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .invalid(file: path, reason: "exists and is not a regular file") }
        return status
    }

    /// A new name in the folder of the file that `path` names.
    static func temporaryPath(beside path: String, _ suffix: String) throws(ConversionError) -> String {
        var name = [CChar](repeating: 0, count: Int(RP_PATH))
        let code = rp_name_beside(path, suffix, &name)
        guard code == 0 else { throw .system(file: path, operation: "create a file beside it", code: code) }
        let bytes = name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw namelessLink(path) }
        return text
    }

    private static func namelessLink(_ path: String) -> ConversionError {
        .invalid(file: path, reason: "is a symbolic link to a name that is not UTF-8; expected UTF-8")
    }

    func append(_ bytes: UnsafeRawBufferPointer) throws(ConversionError) {
        try write(bytes, at: size)
        size += bytes.count
    }

    func append(_ bytes: [UInt8]) throws(ConversionError) {
        try write(bytes, at: size)
        size += bytes.count
    }

    func write(_ bytes: [UInt8], at offset: Int) throws(ConversionError) {
        let result: Result<Void, ConversionError> = bytes.withUnsafeBytes { bytes in
            Result { () throws(ConversionError) in try write(bytes, at: offset) }
        }
        try result.get()
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(ConversionError) {
        let code = rp_output_write(output, bytes.baseAddress, UInt64(bytes.count), UInt64(offset))
        guard code == 0 else { throw .system(file: path, operation: "write", code: code) }
    }

    /// Makes the file durable and gives it its name, replacing what had it.
    func commit() throws(ConversionError) {
        let code = rp_output_commit(output)
        guard code == 0 else { throw .system(file: path, operation: "complete", code: code) }
    }
}
