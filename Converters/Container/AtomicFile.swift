import Foundation

/// A file that appears under its name only when it is complete: it is written beside it, synced and renamed. Unless `commit` was
/// reached, nothing is left behind. A symbolic link stays one: the file that it names is replaced.
final class AtomicFile {
    /// As it was given: what messages name.
    private let path: String
    /// `path` behind its links.
    private let target: String
    /// Where it is until then.
    let temporaryPath: String
    private let descriptor: Int32
    private var committed = false

    /// Bytes written so far, one after the other.
    private(set) var size = 0

    init(path: String) throws(ConversionError) {
        let replaced = try Self.status(path)
        let target = try Self.target(path)
        // A local until it is open: deinit must not unlink what this object did not create.
        let temporaryPath = Self.temporaryPath(beside: target, "part")
        // As any file is made, not by mkstemp: the user's mask and the folder's rules say who may read it.
        let descriptor = open(temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw .system(file: path, operation: "create a file beside it", code: errno) }
        // But one that is replaced stays as private as it was.
        if let replaced { fchmod(descriptor, replaced.st_mode & 0o777) }
        self.path = path
        self.target = target
        self.temporaryPath = temporaryPath
        self.descriptor = descriptor
    }

    deinit {
        close(descriptor)
        if !committed { unlink(temporaryPath) }
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

    /// The file that `path` names behind symbolic links; it need not be there.
    static func target(_ path: String) throws(ConversionError) -> String {
        var target = path
        // Linux follows as many.
        for _ in 0..<40 {
            let link = [UInt8](unsafeUninitializedCapacity: Int(PATH_MAX)) { buffer, count in
                count = buffer.withMemoryRebound(to: CChar.self) { name in name.baseAddress.map { max(0, readlink(target, $0, name.count)) } ?? 0 }
            }
            guard !link.isEmpty else { break }
            guard let text = String(validating: link, as: UTF8.self) else {
                throw .invalid(file: path, reason: "is a symbolic link to a name that is not UTF-8; expected UTF-8")
            }
            target = link.first == UInt8(ascii: "/") ? text : "\(folder(of: target))/\(text)"
        }
        return target
    }

    /// A new name in the folder of `path`: short, because that of `path` may have as many bytes as a name can have, and none that a killed run
    /// has left behind.
    static func temporaryPath(beside path: String, _ suffix: String) -> String {
        "\(folder(of: path))/rudolph-quant.\(String(UInt64.random(in: .min ... .max), radix: 36)).\(suffix)"
    }

    private static func folder(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
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
        var done = 0
        while done < bytes.count {
            let written = pwrite(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done, off_t(offset + done))
            if written < 0 && errno == EINTR { continue }
            guard written > 0 else { throw .system(file: path, operation: "write", code: written < 0 ? errno : EIO) }
            done += written
        }
    }

    /// Makes the file durable and gives it its name, replacing what had it.
    func commit() throws(ConversionError) {
        guard fsync(descriptor) == 0 else { throw .system(file: path, operation: "sync", code: errno) }
        guard rename(temporaryPath, target) == 0 else { throw .system(file: path, operation: "rename to", code: errno) }
        committed = true
        let folder = open(Self.folder(of: target), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if folder >= 0 {
            fsync(folder)
            close(folder)
        }
    }
}
