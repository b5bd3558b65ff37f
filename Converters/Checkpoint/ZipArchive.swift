import Foundation
import Rudolph

/// The directory of a zip archive whose entries are stored, not compressed, as torch.save writes it. Zip64 is read.
struct ZipArchive {
    /// Entry name to its bytes inside the mapping.
    private(set) var entries: [String: UnsafeRawBufferPointer] = [:]

    static func isZip(_ bytes: UnsafeRawBufferPointer) -> Bool { bytes.starts(with: [0x50, 0x4B, 0x03, 0x04]) }

    init(_ mapped: MappedFile) throws(ConversionError) {
        let bytes = mapped.bytes, file = mapped.path
        func reader(_ section: String, at position: some BinaryInteger) throws(ConversionError) -> ByteReader {
            guard let position = Int(exactly: position), position >= 0, position <= bytes.count else {
                throw .invalid(file: file, reason: "\(section) would begin at byte \(position) of \(bytes.count)")
            }
            return ByteReader(bytes, file: file, section: section, from: position)
        }

        // The end record is the last thing in the file, behind it at most a comment of 65,535 bytes.
        let endSize = 22
        let lowest = max(0, bytes.count - endSize - 0xFFFF)
        guard
            let end = stride(from: bytes.count - endSize, through: lowest, by: -1).first(where: {
                bytes.loadUnaligned(fromByteOffset: $0, as: UInt32.self).littleEndian == 0x0605_4B50
            })
        else { throw .invalid(file: file, reason: "zip archive without its end record: the file is cut off") }

        var record = try reader("zip end record", at: end + 10)
        var count = UInt64(try record.integer(UInt16.self))
        _ = try record.integer(UInt32.self)
        var start = UInt64(try record.integer(UInt32.self))
        if count == 0xFFFF || start == 0xFFFF_FFFF, end >= 20 {
            var locator = try reader("zip64 locator", at: end - 20)
            guard try locator.integer(UInt32.self) == 0x0706_4B50 else { throw locator.failure("no zip64 locator") }
            _ = try locator.integer(UInt32.self)
            var record = try reader("zip64 end record", at: try locator.integer(UInt64.self))
            guard try record.integer(UInt32.self) == 0x0606_4B50 else { throw record.failure("no zip64 end record") }
            _ = try record.take(28)
            count = try record.integer(UInt64.self)
            _ = try record.integer(UInt64.self)
            start = try record.integer(UInt64.self)
        }

        var directory = try reader("zip directory", at: start)
        guard count <= UInt64(directory.remaining / 46) else { throw directory.failure("\(count) entries cannot fit in the file") }
        for _ in 0..<count {
            guard try directory.integer(UInt32.self) == 0x0201_4B50 else { throw directory.failure("not a directory entry") }
            _ = try directory.take(4)
            let flags = try directory.integer(UInt16.self)
            let method = try directory.integer(UInt16.self)
            _ = try directory.take(8)
            let packedSize = try directory.integer(UInt32.self)
            let plainSize = try directory.integer(UInt32.self)
            let nameLength = try directory.integer(UInt16.self)
            let extraLength = try directory.integer(UInt16.self)
            let commentLength = try directory.integer(UInt16.self)
            _ = try directory.take(8)
            let localOffset = try directory.integer(UInt32.self)
            let name = try directory.string(nameLength)

            var size = UInt64(plainSize), offset = UInt64(localOffset)
            var extra = ByteReader(try directory.take(extraLength), file: file, section: "zip entry \(name)")
            _ = try directory.take(commentLength)
            while extra.remaining >= 4 {
                let tag = try extra.integer(UInt16.self)
                var field = ByteReader(
                    try extra.take(try extra.integer(UInt16.self)), file: file, section: "zip64 field of \(name)")
                guard tag == 1 else { continue }
                if plainSize == 0xFFFF_FFFF { size = try field.integer(UInt64.self) }
                if packedSize == 0xFFFF_FFFF { _ = try field.integer(UInt64.self) }
                if localOffset == 0xFFFF_FFFF { offset = try field.integer(UInt64.self) }
            }

            guard flags & 1 == 0 else { throw .invalid(file: file, reason: "zip entry \(name) is encrypted") }
            guard method == 0 else {
                throw .invalid(file: file, reason: "zip entry \(name) is compressed (method \(method)); torch.save stores entries as they are")
            }
            var local = try reader("zip entry \(name)", at: offset)
            guard try local.integer(UInt32.self) == 0x0403_4B50 else { throw local.failure("no entry header") }
            _ = try local.take(22)
            let localName = try local.integer(UInt16.self), localExtra = try local.integer(UInt16.self)
            _ = try local.take(Int(localName) + Int(localExtra))
            guard entries.updateValue(try local.take(size), forKey: name) == nil else {
                throw .invalid(file: file, reason: "zip entry \(name) is there twice")
            }
        }
    }
}
