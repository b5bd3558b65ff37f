import Rudolph

/// The two formats of torch.save: a zip archive (since PyTorch 1.6) and, before it, a row of pickles followed by the storages.
enum TorchFile {
    /// torch's magic number, pickled as a long integer, opens the older format.
    private static let magic: [UInt8] = [0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]

    static func isLegacy(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.count > 14 && bytes[0] == 0x80 && bytes[2] == 0x8A && bytes[3] == 10 && bytes[4..<14].elementsEqual(magic)
    }

    /// The tensors of the file by their path in its dictionaries, joined by dots.
    static func tensors(_ file: MappedFile) throws(ConversionError) -> [(name: String, content: Checkpoint.Content)] {
        isLegacy(file.bytes) ? try legacy(file) : try zip(file)
    }

    private static func zip(_ file: MappedFile) throws(ConversionError) -> [(name: String, content: Checkpoint.Content)] {
        let archive = try ZipArchive(file)
        let pickles = archive.entries.keys.filter { $0 == "data.pkl" || $0.hasSuffix("/data.pkl") }
        guard pickles.count == 1, let name = pickles.first, let bytes = archive.entries[name] else {
            throw .invalid(file: file.path, reason: "zip archive with \(pickles.count) entries data.pkl; torch.save writes one")
        }
        let folder = name.dropLast("data.pkl".count)
        if let order = archive.entries[folder + "byteorder"], !order.elementsEqual("little".utf8) {
            throw .invalid(file: file.path, reason: "its tensors are not little-endian")
        }
        var pickle = Pickle()
        var reader = ByteReader(bytes, file: file.path, section: name)
        let root = try pickle.read(&reader)

        var storages: [UnsafeRawBufferPointer] = []
        for storage in pickle.storages {
            guard let entry = archive.entries["\(folder)data/\(storage.key)"] else {
                throw .invalid(file: file.path, reason: "zip archive without the entry \(folder)data/\(storage.key) that a tensor refers to")
            }
            storages.append(try part(of: entry, storage, file))
        }
        return try views(of: pickle, root, storages, file)
    }

    private static func legacy(_ file: MappedFile) throws(ConversionError) -> [(name: String, content: Checkpoint.Content)] {
        var reader = ByteReader(file.bytes, file: file.path, section: "torch file")
        var pickle = Pickle()
        _ = try pickle.read(&reader)  // magic number
        guard case .integer(1001) = try pickle.read(&reader) else { throw reader.failure("not protocol 1001 of torch.save") }
        let system = try pickle.read(&reader)
        if case .dictionary(let index) = system {
            for case (.string("little_endian"), .bool(false)) in pickle.dictionaries[index] {
                throw reader.failure("its tensors are not little-endian")
            }
        }
        let root = try pickle.read(&reader)
        guard case .list(let keys) = try pickle.read(&reader) else { throw reader.failure("no list of storages") }

        var types: [String: Int] = [:]
        for storage in pickle.storages { types[storage.key] = storage.type?.size ?? 1 }
        var contents: [String: UnsafeRawBufferPointer] = [:]
        for key in pickle.lists[keys] {
            guard case .string(let key) = key, let size = types[key] else { throw reader.failure("a storage that no tensor refers to") }
            let count = try reader.integer(UInt64.self)
            let (bytes, overflow) = count.multipliedReportingOverflow(by: UInt64(size))
            guard !overflow else { throw reader.failure("a storage of \(count) elements") }
            guard contents.updateValue(try reader.take(bytes), forKey: key) == nil else {
                throw reader.failure("storage \(key) is there twice")
            }
        }
        var storages: [UnsafeRawBufferPointer] = []
        for storage in pickle.storages {
            guard let whole = contents[storage.key] else { throw reader.failure("storage \(storage.key) is missing") }
            storages.append(try part(of: whole, storage, file))
        }
        return try views(of: pickle, root, storages, file)
    }

    /// The part of `whole` that `storage` claims.
    private static func part(
        of whole: UnsafeRawBufferPointer, _ storage: Pickle.Storage, _ file: MappedFile
    ) throws(ConversionError) -> UnsafeRawBufferPointer {
        let size = storage.type?.size ?? 1, held = whole.count / size
        guard storage.start <= held else {
            throw .invalid(file: file.path, reason: "storage \(storage.key) holds \(held) elements, a view of it begins at \(storage.start)")
        }
        guard storage.count <= held - storage.start else {
            let place = storage.start == 0 ? "" : " from \(storage.start) on"
            throw .invalid(
                file: file.path, reason: "storage \(storage.key) holds \(held - storage.start) elements\(place), \(storage.count) expected")
        }
        return UnsafeRawBufferPointer(rebasing: whole[storage.start * size..<(storage.start + storage.count) * size])
    }

    private static func views(
        of pickle: Pickle, _ root: Pickle.Value, _ storages: [UnsafeRawBufferPointer], _ file: MappedFile
    ) throws(ConversionError) -> [(name: String, content: Checkpoint.Content)] {
        guard case .dictionary(let index) = root else {
            throw .invalid(file: file.path, reason: "is no dictionary of tensors (a state dict), as torch.save(model.state_dict(), ...) writes it")
        }
        // Dictionaries that share one long key would make as many long names.
        func name(_ prefix: String, _ key: String) throws(ConversionError) -> String {
            let length = prefix.utf8.count + key.utf8.count
            guard length <= Pickle.longestName else {
                throw .invalid(
                    file: file.path, reason: "a name of \(length) bytes in its dictionaries, expected at most \(Pickle.longestName)")
            }
            return prefix + key
        }
        var found: [(name: String, content: Checkpoint.Content)] = []
        var pending = [(prefix: "", dictionary: index, depth: 0)], visited = 0
        while let next = pending.popLast() {
            for (key, value) in pickle.dictionaries[next.dictionary] {
                visited += 1
                guard visited <= 1_000_000 else { throw .invalid(file: file.path, reason: "more than a million entries in its dictionaries") }
                guard found.count <= Pickle.mostTensors else {
                    throw .invalid(file: file.path, reason: "more than \(Pickle.mostTensors) tensors in its dictionaries")
                }
                guard case .string(let key) = key else { continue }
                switch value {
                case .tensor(let index):
                    let name = try name(next.prefix, key)
                    found.append((name, .tensor(try view(of: pickle.tensors[index], name, storages, file))))
                case .unread(let type): found.append((try name(next.prefix, key), .unread(type: type)))
                case .dictionary(let index) where next.depth < 4:
                    pending.append((try name(next.prefix, key) + ".", index, next.depth + 1))
                default: break
                }
            }
        }
        return found
    }

    private static func view(
        of tensor: Pickle.Tensor, _ name: String, _ storages: [UnsafeRawBufferPointer], _ file: MappedFile
    ) throws(ConversionError) -> TensorView {
        do {
            return try TensorView(
                type: tensor.type, shape: tensor.shape, strides: tensor.strides, offset: tensor.offset, storage: storages[tensor.storage],
                file: file)
        } catch .invalid(_, let reason) {
            throw .invalid(file: file.path, reason: "\(name): \(reason)")
        }
    }
}
