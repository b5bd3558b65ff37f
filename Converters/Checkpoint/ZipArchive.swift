import Foundation
import Rudolph

/// The directory of a zip archive whose entries are stored, not compressed, as torch.save writes it. Zip64 is read.
struct ZipArchive {
    /// Entry name to its bytes inside the mapping.
    private(set) var entries: [String: UnsafeRawBufferPointer] = [:]

    static func isZip(_ bytes: UnsafeRawBufferPointer) -> Bool { bytes.starts(with: [0x50, 0x4B, 0x03, 0x04]) }

    init(_ mapped: MappedFile) throws(ConversionError) {
        let (count, start) = try Self.directory(mapped)
        var directory = try Self.reader(mapped, "zip directory", at: start)
        guard count <= UInt64(directory.remaining / 46) else { throw directory.failure("\(count) entries cannot fit in the file") }
        for _ in 0..<count {
            let entry = try Entry(&directory)
            guard entries.updateValue(try Self.content(of: entry, mapped), forKey: entry.name) == nil else {
                throw .invalid(file: mapped.path, reason: "zip entry \(entry.name) is there twice")
            }
        }
    }

    private static func reader(_ mapped: MappedFile, _ section: String, at position: some BinaryInteger) throws(ConversionError) -> ByteReader {
        guard let position = Int(exactly: position), position >= 0, position <= mapped.bytes.count else {
            throw .invalid(file: mapped.path, reason: "\(section) would begin at byte \(position) of \(mapped.bytes.count)")
        }
        return ByteReader(mapped.bytes, file: mapped.path, section: section, from: position)
    }

    /// The number of entries in the directory, and where it begins.
    private static func directory(_ mapped: MappedFile) throws(ConversionError) -> (count: UInt64, start: UInt64) {
        let end = try endRecord(mapped)
        var record = try reader(mapped, "zip end record", at: end + 10)
        let count = try record.integer(UInt16.self)
        _ = try record.integer(UInt32.self)
        let start = try record.integer(UInt32.self)
        guard count == 0xFFFF || start == 0xFFFF_FFFF, end >= 20 else { return (UInt64(count), UInt64(start)) }

        var locator = try reader(mapped, "zip64 locator", at: end - 20)
        guard try locator.integer(UInt32.self) == 0x0706_4B50 else { throw locator.failure("no zip64 locator") }
        _ = try locator.integer(UInt32.self)
        record = try reader(mapped, "zip64 end record", at: try locator.integer(UInt64.self))
        guard try record.integer(UInt32.self) == 0x0606_4B50 else { throw record.failure("no zip64 end record") }
        _ = try record.take(28)
        let wideCount = try record.integer(UInt64.self)
        _ = try record.integer(UInt64.self)
        return (wideCount, try record.integer(UInt64.self))
    }

    /// The end record is the last thing in the file, behind it at most a comment of 65,535 bytes.
    private static func endRecord(_ mapped: MappedFile) throws(ConversionError) -> Int {
        let last = mapped.bytes.count - 22
        for position in stride(from: last, through: max(0, last - 0xFFFF), by: -1)
        where mapped.bytes.loadUnaligned(fromByteOffset: position, as: UInt32.self).littleEndian == 0x0605_4B50 {
            return position
        }
        throw .invalid(file: mapped.path, reason: "zip archive without its end record: the file is cut off")
    }

    /// The bytes of an entry, which lie behind a header of their own.
    private static func content(of entry: Entry, _ mapped: MappedFile) throws(ConversionError) -> UnsafeRawBufferPointer {
        guard entry.flags & 1 == 0 else { throw .invalid(file: mapped.path, reason: "zip entry \(entry.name) is encrypted") }
        guard entry.method == 0 else {
            throw .invalid(
                file: mapped.path,
                reason: "zip entry \(entry.name) is compressed (method \(entry.method)); torch.save stores entries as they are")
        }
        var local = try reader(mapped, "zip entry \(entry.name)", at: entry.offset)
        guard try local.integer(UInt32.self) == 0x0403_4B50 else { throw local.failure("no entry header") }
        _ = try local.take(22)
        let nameLength = try local.integer(UInt16.self), extraLength = try local.integer(UInt16.self)
        _ = try local.take(Int(nameLength) + Int(extraLength))
        return try local.take(entry.size)
    }
}

/// What the directory says of an entry.
private struct Entry {
    let name: String
    let flags, method: UInt16
    /// Of the content, and where its header begins.
    private(set) var size, offset: UInt64

    init(_ directory: inout ByteReader) throws(ConversionError) {
        guard try directory.integer(UInt32.self) == 0x0201_4B50 else { throw directory.failure("not a directory entry") }
        _ = try directory.take(4)
        flags = try directory.integer(UInt16.self)
        method = try directory.integer(UInt16.self)
        _ = try directory.take(8)
        let packedSize = try directory.integer(UInt32.self)
        let plainSize = try directory.integer(UInt32.self)
        let nameLength = try directory.integer(UInt16.self)
        let extraLength = try directory.integer(UInt16.self)
        let commentLength = try directory.integer(UInt16.self)
        _ = try directory.take(8)
        let localOffset = try directory.integer(UInt32.self)
        name = try directory.string(nameLength)
        (size, offset) = (UInt64(plainSize), UInt64(localOffset))

        var extra = ByteReader(try directory.take(extraLength), file: directory.file, section: "zip entry \(name)")
        _ = try directory.take(commentLength)
        while extra.remaining >= 4 {
            let tag = try extra.integer(UInt16.self)
            var field = ByteReader(try extra.take(try extra.integer(UInt16.self)), file: directory.file, section: "zip64 field of \(name)")
            guard tag == 1 else { continue }
            if plainSize == 0xFFFF_FFFF { size = try field.integer(UInt64.self) }
            if packedSize == 0xFFFF_FFFF { _ = try field.integer(UInt64.self) }
            if localOffset == 0xFFFF_FFFF { offset = try field.integer(UInt64.self) }
        }
    }
}
