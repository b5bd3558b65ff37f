import Foundation

/// A file that appears under its name only when it is complete: it is written beside it, synced and renamed. Unless `commit` was
/// reached, nothing is left behind.
final class AtomicFile {
    private let path: String
    /// Where it is until then.
    let temporaryPath: String
    private let descriptor: Int32
    private var committed = false

    /// Bytes written so far, one after the other.
    private(set) var size = 0

    init(path: String) throws(ConversionError) {
        var status = stat()
        if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
            throw .invalid(file: path, reason: "exists and is not a regular file")
        }
        // A local until it is open: deinit must not unlink what this object did not create.
        let temporaryPath = "\(path).\(getpid()).part"
        let descriptor = open(temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw .system(file: temporaryPath, operation: "create", code: errno) }
        self.path = path
        self.temporaryPath = temporaryPath
        self.descriptor = descriptor
    }

    deinit {
        close(descriptor)
        if !committed { unlink(temporaryPath) }
    }

    /// Fails when `path` is one of the files that it is made from.
    static func check(_ path: String, isNoneOf inputs: [String]) throws(ConversionError) {
        var output = stat(), input = stat()
        guard stat(path, &output) == 0 else { return }
        for name in inputs where stat(name, &input) == 0 && input.st_dev == output.st_dev && input.st_ino == output.st_ino {
            throw .invalid(file: path, reason: "would replace the input \(name)")
        }
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
            guard written > 0 else { throw .system(file: temporaryPath, operation: "write", code: written < 0 ? errno : EIO) }
            done += written
        }
    }

    /// Makes the file durable and gives it its name, replacing what had it.
    func commit() throws(ConversionError) {
        guard fsync(descriptor) == 0 else { throw .system(file: temporaryPath, operation: "sync", code: errno) }
        guard rename(temporaryPath, path) == 0 else { throw .system(file: path, operation: "rename to", code: errno) }
        committed = true
        let folder = open(URL(fileURLWithPath: path).deletingLastPathComponent().path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if folder >= 0 {
            fsync(folder)
            close(folder)
        }
    }
}
