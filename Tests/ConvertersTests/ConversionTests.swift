import Converters
import Foundation
import Rudolph
import Testing

@Suite struct ConversionTests {
    /// The tensors of a GGUF file by name, read back as floats with the types that the container states.
    func read(_ path: String) throws -> [String: (dimensions: [Int], values: [Float])] {
        let gguf = try GGUF(MappedFile(path: path))
        var all: [String: ([Int], [Float])] = [:]
        for tensor in gguf.tensors where tensor.type != .i8 {
            let encoding = [GGUF.TensorType.f32: Encoding.f32, .f16: .f16, .q8_0: .q8_0][tensor.type] ?? .f32
            let columns = tensor.dimensions[0], rows = tensor.dimensions.dropFirst().reduce(1, *)
            var values = [Float](repeating: 0, count: rows * columns)
            values.withUnsafeMutableBufferPointer { values in
                if let from = gguf.file.bytes.baseAddress, let to = values.baseAddress {
                    encoding.decode(from + tensor.range.lowerBound, rows: rows, columns: columns, to: to)
                }
            }
            all[tensor.name] = (tensor.dimensions, values)
        }
        return all
    }

    /// What an exported tensor should hold: the checkpoint's, the head split, the image tokenizer's behind its prefix.
    func expected(_ model: SmallModel, _ name: String) -> (shape: [Int], values: [Float]) {
        if name.hasPrefix("vqgan.") {
            let plain = String(name.dropFirst(6))
            return (model.images[plain]?.shape ?? [], model.images.floats(plain))
        }
        for (part, first, count) in [
            ("text", 0, model.configuration.textRows), ("image", model.configuration.textRows, model.configuration.imageRows),
        ] where name.hasPrefix("to_logits.1.\(part).") {
            let plain = name.replacingOccurrences(of: ".\(part)", with: "")
            let columns = model.transformer[plain]?.shape.dropFirst().reduce(1, *) ?? 0
            let values = model.transformer.floats(plain)[first * columns..<(first + count) * columns]
            return ([count] + (model.transformer[plain]?.shape.dropFirst() ?? []), Array(values))
        }
        return (model.transformer[name]?.shape ?? [], model.transformer.floats(name))
    }

    @Test(arguments: WeightType.allCases, ["", "module.", "state_dict.model."])
    func whatIsExportedIsTheCheckpoint(type: WeightType, prefix: String) throws {
        let model = try SmallModel(), folder = try TemporaryFolder()
        let packed = folder.path("packed.gguf"), plain = folder.path("plain.gguf")
        let report = try model.conversion(folder, type, prefix: prefix).run(output: packed)
        #expect(report.fileSize == (try FileManager.default.attributesOfItem(atPath: packed)[.size] as? Int))
        #expect(try Verification.run(path: packed) == [])
        _ = try Export.run(input: packed, output: plain, type: .f32, threads: 2)
        #expect(try Verification.run(path: plain) == [])

        let tensors = try read(plain)
        let masks = MaskBuffer.allCases.count
        // The head's weight and bias are split in two; the loss's weights are left out.
        #expect(tensors.count == model.transformer.tensors.count - masks + 2 + model.images.tensors.count - 1)
        #expect(tensors.count == report.tensors)
        // The head's columns may be scaled, if the norm before it is scaled back.
        let norm = model.transformer.floats("to_logits.0.weight")
        let factors = zip(norm, tensors["to_logits.0.weight"]?.values ?? []).map { $0 / $1 }
        #expect(factors.count == norm.count && factors.allSatisfy { $0 > 0 && $0.isFinite })
        if type == .f32 || type == .f16 { #expect(factors.allSatisfy { $0 == 1 }) }
        #expect(abs(factors.reduce(0.0) { $0 + log(Double($1)) }) / Double(factors.count) < 1e-5, "their geometric mean is 1")

        var sums: [String: (noise: Double, signal: Double)] = [:]
        for (name, found) in tensors {
            let wanted = expected(model, name)
            #expect(found.dimensions == wanted.shape.reversed(), "\(name)")
            #expect(found.values.count == wanted.values.count, "\(name)")
            var values = found.values
            if name.hasPrefix("to_logits.1.") && name.hasSuffix(".weight") {
                for index in values.indices { values[index] /= factors[index % factors.count] }
            } else if name.hasPrefix("to_logits.0.") {
                for index in values.indices { values[index] *= factors[index] }
                #expect(Distortion(of: wanted.values, values).relativeError < 1e-6, "\(name)")
                continue
            }
            let isVector = wanted.shape.count == 1 || name.contains("_pos_") || name.contains("_row_") || name.contains("_col_")
            if isVector || type == .f32 {
                #expect(values == wanted.values, "\(name)")
                continue
            }
            let distortion = Distortion(of: wanted.values, values)
            // 0.03 % is what a half loses of values that are large against its smallest.
            let limit = type == .f16 || name.hasPrefix("vqgan.") || name.hasSuffix("embeddings.weight") ? 0.0003
                : type == .int8 || name.hasPrefix("to_logits") ? 0.01 : 0.09
            #expect(distortion.relativeError < limit, "\(name): \(distortion.relativeError)")
            let kind = name.contains("attention.") ? "attention" : name.contains("mlp.") ? "feed-forward" : "other"
            sums[kind, default: (0, 0)].noise += distortion.noise
            sums[kind, default: (0, 0)].signal += distortion.signal
        }
        // The table tells what the file shows.
        for row in report.rows {
            guard let sum = sums[row.kind.rawValue] else { continue }
            #expect(abs(row.distortion.noise - sum.noise) <= 1e-6 * sum.signal, "\(row.kind)")
            #expect(row.types == [type.name])
        }
    }

    @Test func metadataSayWhatTheModelIs() throws {
        let model = try SmallModel(), folder = try TemporaryFolder(), output = folder.path("out.gguf")
        _ = try model.conversion(folder, .int8).run(output: output)
        let file = try GGUF(MappedFile(path: output))
        for (key, value) in [
            ("general.architecture", MetadataValue.string("rudolph")), ("general.name", .string("small")),
            ("rudolph.format_version", .uint32(1)), ("rudolph.weight_type", .string("int8")), ("rudolph.layers", .uint32(3)),
            ("rudolph.left_text.activations", .string("int8")),
            ("rudolph.hidden_size", .uint32(48)), ("rudolph.heads", .uint32(3)), ("rudolph.left_text_length", .uint32(5)),
            ("rudolph.image_tokens_per_side", .uint32(4)), ("rudolph.right_text_length", .uint32(7)),
            ("rudolph.kernel_size", .uint32(3)), ("rudolph.last_kernel_size", .uint32(5)),
            ("rudolph.text_vocabulary_size", .uint32(12)), ("rudolph.text_special_tokens", .uint32(6)),
            ("rudolph.image_vocabulary_size", .uint32(20)), ("rudolph.image_special_tokens", .uint32(2)),
            ("rudolph.task_tokens.ids", .uint32s([12, 13, 14, 15, 16, 17])), ("rudolph.vqgan.channels", .uint32(32)),
            ("rudolph.vqgan.channel_multipliers", .uint32s([1, 2])), ("rudolph.vqgan.attention_levels", .uint32s([1])),
            ("rudolph.vqgan.residual_blocks", .uint32(1)), ("rudolph.vqgan.z_channels", .uint32(24)),
            ("rudolph.vqgan.codes", .uint32(20)), ("rudolph.vqgan.out_channels", .uint32(3)),
            ("rudolph.tokenizer.codepoints", .uint32s([9601, 1072, 1073, 1074, 1075])),
            ("rudolph.tokenizer.codepoint_ids", .uint32s([4, 5, 6, 7, 8])),
            ("rudolph.tokenizer.rules", .uint32s([5, 6, 9, 4, 5, 10, 10, 9, 11])), ("rudolph.tokenizer.unk_id", .int32(1)),
            ("rudolph.tokenizer.pad_id", .int32(0)), ("rudolph.tokenizer.eos_id", .int32(3)),
        ] {
            switch (file[key], value) {
            case (.string(let found), .string(let expected)): #expect(found == expected, "\(key)")
            case (.unsigned(let found), .uint32(let expected)): #expect(found == UInt64(expected), "\(key)")
            case (.signed(let found), .int32(let expected)): #expect(found == Int64(expected), "\(key)")
            case (.array, .uint32s(let expected)): #expect(try file.integers(key) == expected, "\(key)")
            case (let found, _): Issue.record("\(key) is \(found as Any), expected \(value)")
            }
        }
        #expect(file.dataOffset.isMultiple(of: 64))
        for tensor in file.tensors { #expect(tensor.range.lowerBound.isMultiple(of: 64), "\(tensor.name)") }
        // Image encoder, image decoder, embeddings, layers, head.
        let names = file.tensors.map(\.name)
        let order = [
            "vqgan.encoder.conv_in.weight", "vqgan.quantize.proj.bias", "vqgan.quantize.embed.weight", "vqgan.decoder.conv_out.bias",
            "text_embeddings.weight", "image_col_embeddings.weight", "transformer.layers.0.input_layernorm.weight",
            "transformer.layers.2.before_second_addition_layernorm.bias", "to_logits.1.text.weight", "to_logits.1.image.bias",
            "captions.left_text.keys_values", "captions.left_text.scales",
        ].compactMap(names.firstIndex(of:))
        #expect(order.count == 12 && order == order.sorted() && order.first == 0 && order.last == names.count - 1)
    }

    @Test func theDemoConverts() throws {
        let folder = try TemporaryFolder(), output = folder.path("demo.gguf")
        let conversion = Conversion(
            transformer: Project.demo.appending(path: "pytorch_model.bin").path,
            imageTokenizer: Project.demo.appending(path: "vqgan.ckpt").path, textTokenizer: Project.demo.appending(path: "bpe.model").path,
            configuration: try ModelConfiguration(file: Project.demo.appending(path: "config.json").path), type: .int4, isCalibrated: false,
            isStrict: true)
        let report = try conversion.run(output: output)
        for (kind, bits, error) in [
            (TensorClass.imageTokenizer, 16.1, 0.0), (.embeddings, 8.5, 0.006), (.attention, 4.4, 0.078), (.feedForward, 4.4, 0.08),
            (.head, 8.2, 0.011), (.vectors, 32, 0),
        ] {
            let row = try #require(report.rows.first { $0.kind == kind })
            #expect(row.bitsPerWeight <= bits, "\(kind): \(row.bitsPerWeight)")
            #expect(row.distortion.relativeError <= error, "\(kind): \(row.distortion.relativeError)")
        }
        #expect(try Verification.run(path: output) == [])
    }

    @Test func theWaveletDecoderIsFoundUnderItsNames() throws {
        var model = try SmallModel()
        var wavelet = StateDictionary()
        for tensor in model.images.tensors {
            let name = tensor.name
            let moved = name.hasPrefix("decoder.") || name.hasPrefix("post_quant_conv.") ? "model.decoder.\(name)" : "model.\(name)"
            wavelet[moved] = (tensor.shape, tensor.content)
        }
        wavelet["model.decoder.decoder.conv_out.weight"] = ([12, 32, 3, 3], .floats([Float](repeating: 0.5, count: 12 * 32 * 9)))
        wavelet["model.decoder.decoder.conv_out.bias"] = ([12], .floats([Float](repeating: 0, count: 12)))
        wavelet["model.decoder.idwt.g0_col"] = ([1, 1, 2, 1], .floats([1, 1]))
        wavelet["model.post_quant_conv.weight"] = ([24, 24, 1, 1], .floats([Float](repeating: 9, count: 576)))
        wavelet["model.post_quant_conv.bias"] = ([24], .floats([Float](repeating: 9, count: 24)))
        let expected = model.images.floats("post_quant_conv.weight")
        model.images = wavelet
        let folder = try TemporaryFolder(), output = folder.path("out.gguf")
        _ = try model.conversion(folder, .f32, strict: true).run(output: output)
        #expect(try GGUF(MappedFile(path: output)).integer("rudolph.vqgan.out_channels", in: 12...12) == 12)
        _ = try Export.run(input: output, output: folder.path("plain.gguf"), type: .f32, threads: 1)
        #expect(try read(folder.path("plain.gguf"))["vqgan.post_quant_conv.weight"]?.values == expected)
    }

    /// What decoders of twice the side end in: of each colour four bands of equal numbers, wherever they stand.
    @Test func waveletBandsBecomePixels() throws {
        var model = try SmallModel()
        let bands: [[Float]] = [[0.5, 0.25, 0.125, -0.0625], [-0.25, -0.5, 0.75, 0.125], [1.5, 1, 0.5, 2]]  // low, vertical, horizontal, diagonal
        model.images["decoder.conv_out.weight"] = ([12, 32, 3, 3], .floats([Float](repeating: 0, count: 12 * 32 * 9)))
        model.images["decoder.conv_out.bias"] = ([12], .floats(bands.map { $0[0] } + bands.flatMap { $0.dropFirst() }))
        let folder = try TemporaryFolder(), output = folder.path("out.gguf")
        _ = try model.conversion(folder, .f32).run(output: output)
        let session = try Session(try Model(path: output), threads: 2)
        let picture = try session.image(of: (0..<16).map { $0 })
        #expect(picture.width == 16 && picture.height == 16 && session.model.configuration.drawingSide == 16)
        for (index, pixel) in picture.pixels.enumerated() {
            let (band, column, row) = (bands[index % 3], index / 3 % 16, index / 48)
            let (down, right): (Float, Float) = (row % 2 == 0 ? 1 : -1, column % 2 == 0 ? 1 : -1)
            let value = (band[0] + down * band[1] + right * band[2] + down * right * band[3]) / 2
            #expect(pixel == UInt8((min(max(value, -1), 1) + 1) / 2 * 255), "row \(row), column \(column), colour \(index % 3)")
        }
    }

    /// A picture of more tokens than the transformer computes at once is scored as the logits of each position say.
    @Test func picturesLongerThanAPassAreScored() throws {
        let json = SmallModel.json.replacingOccurrences(of: #""image_tokens_per_dim": 4"#, with: #""image_tokens_per_dim": 17"#)
        let folder = try TemporaryFolder(), output = folder.path("out.gguf")
        _ = try SmallModel(json: json).conversion(folder, .f32).run(output: output)
        let session = try Session(try Model(path: output), threads: 2)
        let configuration = session.model.configuration
        try #require(configuration.imageLength > Session.positionsAtOnce)
        var generator = Generator(state: 3)
        let picture = (0..<configuration.imageLength).map { _ in Int.random(in: 0..<configuration.imageVocabularySize, using: &generator) }
        let found = try #require(try Ranker(session).ranked([picture], by: "аб").first)

        let left = try session.segment("", task: "<LT_I2T>", length: configuration.leftTextLength, isPadded: true)
        let right = try session.segment("аб", task: "<RT_I2T>", length: configuration.rightTextLength, isPadded: false)
        let ids = left + picture + right
        var image: [Double] = [], text: [Double] = []
        try session.logits(of: ids) { position, logits in
            guard position >= left.count, position + 1 < ids.count, position + 1 != configuration.rightTextStart else { return }
            let isText = position >= configuration.rightTextStart, target = ids[position + 1]
            let rows = isText ? logits[..<(configuration.textRows - configuration.leftTextLength)]
                : logits[configuration.textRows..<(configuration.textRows + configuration.imageVocabularySize)]
            let weights = rows.map { exp(Double($0 - logits[rows.startIndex + target])) }
            if isText { text.append(weights.reduce(0, +)) } else { image.append(weights.reduce(0, +)) }
        }
        let (expectedImage, expectedText) = (image.reduce(0, +) / Double(image.count), text.reduce(0, +) / Double(text.count))
        #expect(image.count == picture.count - 1 && text.count == right.count - 1)
        #expect(abs(Double(found.imagePerplexity) / expectedImage - 1) < 1e-4, "\(found.imagePerplexity), expected \(expectedImage)")
        #expect(abs(Double(found.textPerplexity) / expectedText - 1) < 1e-4, "\(found.textPerplexity), expected \(expectedText)")
    }

    @Test func exportsSayNothingOfThePackedWeights() throws {
        let model = try SmallModel(), folder = try TemporaryFolder()
        let (packed, plain) = (folder.path("packed.gguf"), folder.path("plain.gguf"))
        let calibration = "rudolph.calibration.positions"
        for (type, keys) in [(WeightType.int8, ["rudolph.left_text.activations", calibration]), (.int4, [calibration])] {
            _ = try model.conversion(folder, type, calibrated: true).run(output: packed)
            _ = try Export.run(input: packed, output: plain, type: .f16, threads: 1)
            let before = try GGUF(MappedFile(path: packed)), after = try GGUF(MappedFile(path: plain))
            for key in keys { try #require(before[key] != nil) }
            let left = Set(before.metadata.map(\.key)).subtracting(after.metadata.map(\.key))
            #expect(left == Set(["rudolph.weight_type"] + keys + ["names", "types", "rows", "columns"].map { "rudolph.packed.\($0)" }), "\(left)")
        }
    }

    // MARK: Bad input

    /// Converts `model`, which must fail and leave nothing; returns the reason.
    func refusal(_ model: SmallModel, _ type: WeightType = .int4, strict: Bool = false) throws -> String {
        let folder = try TemporaryFolder()
        let conversion = try model.conversion(folder, type, strict: strict)
        let before = folder.contents
        let reason = failure { _ = try conversion.run(output: folder.path("out.gguf")) }
        #expect(folder.contents == before, "left behind")
        return try #require(reason, "accepted").replacingOccurrences(of: folder.url.path + "/", with: "")
    }

    @Test func missingTensorsAreNamed() throws {
        let whole = try SmallModel()
        for name in whole.transformer.tensors.map(\.name) where !name.hasSuffix("_mask") {
            var model = whole
            model.transformer[name] = nil
            let reason = try refusal(model)
            #expect(reason.hasPrefix("pytorch_model.bin: \(name) is missing"), "\(name): \(reason)")
        }
        for name in whole.images.tensors.map(\.name) where !name.hasPrefix("loss.") {
            var model = whole
            model.images[name] = nil
            let reason = try refusal(model)
            #expect(reason.hasPrefix("vqgan.ckpt: "), "\(name): \(reason)")
            #expect(reason.contains("is missing") || reason.contains("has no place"), "\(name): \(reason)")
        }
    }

    @Test func wrongShapesAreNamed() throws {
        for (name, shape) in [
            ("text_embeddings.weight", [22, 48]), ("transformer.layers.1.attention.dense.weight", [48, 47]),
            ("transformer.layers.2.mlp.dense_h_to_4h.bias", [191]), ("to_logits.1.weight", [45 * 48]),
        ] {
            var model = try SmallModel()
            let before = model.transformer[name]?.shape ?? []
            model.transformer[name] = (shape, .floats([Float](repeating: 1, count: shape.reduce(1, *))))
            #expect(try refusal(model) == "pytorch_model.bin: \(name) has the shape \(shape), expected \(before)")
        }
        var model = try SmallModel()
        model.images["decoder.mid.attn_1.q.weight"] = ([64, 32, 1, 1], .floats([Float](repeating: 1, count: 64 * 32)))
        #expect(try refusal(model) == "vqgan.ckpt: decoder.mid.attn_1.q.weight has the shape [64, 32, 1, 1], expected [64, 64, 1, 1]")
    }

    @Test func wrongMasksAreNamed() throws {
        for mask in MaskBuffer.allCases {
            var model = try SmallModel()
            guard let (shape, content) = model.transformer[mask.name], case .mask(var visible) = content else { continue }
            let index = 17 * shape[1] + 9
            visible[index].toggle()
            visible[index + 40].toggle()
            model.transformer[mask.name] = (shape, .mask(visible))
            let reason = try refusal(model)
            #expect(
                reason.hasPrefix("pytorch_model.bin: \(mask.name) differs from the mask of small at query 17, key 9: found "),
                "\(reason)")
        }
        // Kernels that are not the checkpoint's show in the masks.
        var model = try SmallModel()
        model.configuration.lastKernelSize = 7
        #expect(try refusal(model).contains("transformer.last_conv_mask differs"))
    }

    @Test func otherBadModelsAreNamed() throws {
        func changed(_ change: (inout SmallModel) -> Void) throws -> SmallModel {
            var model = try SmallModel()
            change(&model)
            return model
        }
        func poison(_ name: String, _ value: Float) throws -> SmallModel {
            try changed { model in
                var values = model.transformer.floats(name)
                values[100] = value
                model.transformer[name] = (model.transformer[name]?.shape ?? [], .floats(values))
            }
        }
        let weight = "transformer.layers.1.attention.dense.weight"
        for type in WeightType.allCases {
            #expect(try refusal(poison(weight, .nan), type) == "pytorch_model.bin: \(weight): the value nan in row 2, column 4 is not finite")
            #expect(try refusal(poison(weight, -.infinity), type).contains("-inf in row 2, column 4 is not finite"))
            // Attention would pass over them in silence.
            let queries = "transformer.layers.1.attention.query_key_value.weight"
            #expect(try refusal(poison(queries, .nan), type) == "pytorch_model.bin: \(queries): the value nan in row 2, column 4 is not finite")
        }
        #expect(try refusal(poison(weight, 70000), .f16).contains("70000.0 in row 2, column 4 does not fit the type"))
        for (model, words) in [
            (try changed { $0.transformer["transformer.layers.3.attention.dense.bias"] = ([48], .floats([Float](repeating: 0, count: 48))) },
             "transformer.layers.3.attention.dense.bias has no place in small with 3 layers"),
            (try changed { $0.configuration.imageVocabularySize = 21 }, "has 20 codes, small has 21"),
            (try changed { $0.tokenizer = "0 0\n1 0 2 40\n" }, "bpe.model: has 41 token ids, small has 12"),
            (try changed { $0.configuration.heads = 5 }, "hidden_size 48 is not a multiple of num_attention_heads 5"),
            (try changed { $0.configuration.layers = 0 }, "num_layers is 0"),
            (try changed { $0.images = StateDictionary(tensors: [("x", [1], .floats([1]))]) }, "is this the VQGAN?"),
            (try changed { $0.images["encoder.down.0.attn.0.q.weight"] = $0.images["encoder.mid.attn_1.q.weight"] }, "is missing"),
            (try changed { $0.images["decoder.up.0.attn.0.q.weight"] = $0.images["encoder.mid.attn_1.q.weight"] }, "has no place in a VQGAN"),
        ] {
            let reason = try refusal(model)
            #expect(reason.contains(words), "\(reason)")
        }
    }

    /// Few bytes of a file that stand for many elements.
    @Test func elementsThatShareMemoryAreRefused() throws {
        let whole = try SmallModel()
        for name in ["text_embeddings.weight", "transformer.layers.1.attention.dense.bias", "to_logits.1.weight"] {
            var model = whole
            let shape = model.transformer[name]?.shape ?? [], elements = shape.reduce(1, *)
            model.transformer[name] = (shape, .expanded(0.5))
            #expect(
                try refusal(model)
                    == "pytorch_model.bin: \(name) has \(elements) elements but a storage of 1, expected one of them all")
        }
        var images = whole
        images.images["quantize.embed.weight"] = ([20, 24], .expanded(0.5))
        #expect(try refusal(images) == "vqgan.ckpt: quantize.embed.weight has 480 elements but a storage of 1, expected one of them all")

        var shared = whole
        for matrix in ["attention.query_key_value", "attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"] {
            for layer in 1..<3 {
                let name = "transformer.layers.\(layer).\(matrix).weight"
                shared.transformer[name] = (
                    shared.transformer[name]?.shape ?? [], .shared("transformer.layers.0.\(matrix).weight")
                )
            }
        }
        let reason = try refusal(shared)
        #expect(reason.hasPrefix("pytorch_model.bin: the tensors up to transformer.layers."), "\(reason)")
        #expect(reason.contains(" bytes, expected less than the file's "), "\(reason)")
    }

    @Test func sizesThatTheRuntimeRefusesAreNamed() throws {
        for (name, words) in [
            ("encoder.conv_out.weight", "encoder.conv_out.weight has 65537 channels, expected 1 to 65536"),
            ("quant_conv.weight", "quant_conv.weight has 65537 channels, expected 1 to 65536"),
        ] {
            var model = try SmallModel()
            model.images[name] = ([65537, 1, 1, 1], .floats([Float](repeating: 0, count: 65537)))
            #expect(try refusal(model) == "vqgan.ckpt: \(words)")
        }
    }

    /// Also where nothing is computed with the file.
    @Test(arguments: ["<LT_I2T>", "<RT_I2T>"]) func whatTheRuntimeRefusesIsNotWritten(task: String) throws {
        var model = try SmallModel()
        model.configuration.name = String(repeating: "n", count: 1 << 20 + 1)
        model.configuration.taskTokens.removeAll { $0.name != task }
        let reason = try refusal(model, .int8)
        #expect(reason.hasPrefix("out.gguf: "), "\(reason)")
        #expect(reason.contains("general.name, expected at most 1048576"), "\(reason)")
    }

    @Test func strictTurnsWarningsIntoErrors() throws {
        var model = try SmallModel()
        // 48 is no multiple of the 32 values of a Q8_0 block.
        #expect(try refusal(model, .int4, strict: true).contains("embeddings are stored as f16"))
        let folder = try TemporaryFolder()
        let conversion = try model.conversion(folder), before = folder.contents
        var warnings: [String] = []
        let loose = try conversion.run(
            output: folder.path("out.gguf"),
            warn: {
                #expect(folder.contents == before, "not before the work")
                warnings.append($0)
            })
        #expect(warnings.count == 1, "\(warnings)")
        #expect(loose.rows.first { $0.kind == .embeddings }?.types == ["f16"])

        model.transformer["ema.decay"] = ([1], .floats([0.5]))
        #expect(try refusal(model, .f16, strict: true).contains("1 tensors are not part of the model and are left out (ema.decay)"))
        model.transformer["ema.decay"] = nil
        #expect(failure { _ = try model.conversion(folder, .f16, strict: true).run(output: folder.path("strict.gguf")) } == nil)
    }

    @Test func stoppingLeavesWhatWasThere() throws {
        let model = try SmallModel(), folder = try TemporaryFolder()
        let conversion = try model.conversion(folder), output = folder.path("out.gguf")
        _ = try folder.write("out.gguf", "precious")
        let before = folder.contents
        for calls in [1, 2, 50] {
            var count = 0
            let reason = failure {
                _ = try conversion.run(output: output) { _ in
                    count += 1
                    #expect(folder.contents.count == before.count + 1, "the new file is written beside")
                    return count < calls
                }
            }
            #expect(reason == "stopped")
            #expect(folder.contents == before)
            #expect(try String(contentsOfFile: output, encoding: .utf8) == "precious")
        }
        var last = 0
        _ = try conversion.run(output: output) { progress in
            #expect(progress.done >= last && progress.done <= progress.total)
            last = progress.done
            return true
        }
        #expect(folder.contents == before)
        #expect(try Verification.run(path: output) == [])
    }

    /// Files with the names that a run of this process has used, as a killed run with the same process id would have left them: the first
    /// process of a container has the same one each time.
    @Test func whatAKilledRunLeftIsNoHindrance() throws {
        let model = try SmallModel(), folder = try TemporaryFolder(), output = folder.path("out.gguf")
        let conversion = try model.conversion(folder, calibrated: true), inputs = folder.contents
        var names: Set<String> = []
        _ = try conversion.run(output: output) { _ in
            names.formUnion(folder.contents)
            return true
        }
        names.subtract(inputs + ["out.gguf"])
        #expect(names.contains { $0.hasSuffix(".part") } && names.contains { $0.hasSuffix(".draft") }, "\(names)")
        for name in names { _ = try folder.write(name, "left") }
        _ = try conversion.run(output: output)
        #expect(folder.contents == (inputs + names + ["out.gguf"]).sorted())
        for name in names { #expect(try String(contentsOfFile: folder.path(name), encoding: .utf8) == "left") }
    }

    @Test(arguments: [true, false]) func aNameMayBeAsLongAsTheSystemLetsIt(calibrated: Bool) throws {
        let model = try SmallModel(), folder = try TemporaryFolder(), name = String(repeating: "ю", count: 125) + ".gguf"
        try #require(name.utf8.count == 255)
        let conversion = try model.conversion(folder, calibrated: calibrated)
        let before = folder.contents
        _ = try conversion.run(output: folder.path(name))
        #expect(folder.contents == (before + [name]).sorted())
    }

    /// Also one to a file that is not there yet.
    @Test func symbolicLinksStay() throws {
        let model = try SmallModel(), folder = try TemporaryFolder(), manager = FileManager.default
        let conversion = try model.conversion(folder)
        try manager.createDirectory(atPath: folder.path("disk"), withIntermediateDirectories: false)
        _ = try folder.write("disk/old.gguf", "old")
        for (link, target) in [
            ("a.gguf", "disk/old.gguf"), ("b.gguf", folder.path("disk/new.gguf")), ("c.gguf", "b.gguf"), ("d.gguf", "disk/last.gguf"),
        ] {
            try manager.createSymbolicLink(atPath: folder.path(link), withDestinationPath: target)
            let before = folder.contents
            _ = try conversion.run(output: folder.path(link)) { _ in
                #expect(folder.contents == before, "written beside the link")
                return true
            }
            #expect(folder.contents == before)
            #expect(try manager.destinationOfSymbolicLink(atPath: folder.path(link)) == target)
            #expect(try Verification.run(path: folder.path(link)) == [])
        }
        #expect(try manager.contentsOfDirectory(atPath: folder.path("disk")).sorted() == ["last.gguf", "new.gguf", "old.gguf"])

        try manager.createSymbolicLink(atPath: folder.path("loop"), withDestinationPath: "loop")
        #expect(failure { _ = try conversion.run(output: folder.path("loop")) }?.contains("loop: cannot create: Too many levels") == true)
        try manager.createSymbolicLink(atPath: folder.path("input"), withDestinationPath: conversion.transformer)
        #expect(failure { _ = try conversion.run(output: folder.path("input")) }?.contains("would replace the input") == true)
    }

    @Test func unreadElementsOfTheImageTokenizerAreNamed() throws {
        let folder = try TemporaryFolder()
        var conversion = try SmallModel().conversion(folder)
        let entry = #""dtype":"F8_E5M2","shape":[1],"data_offsets":[0,1]"#, fine = #""loss.x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}"#
        conversion.imageTokenizer = try folder.write("v", safetensors("{\(fine),\"encoder.conv_in.weight\":{\(entry)}}", data: 1))
        let reason = failure { _ = try conversion.run(output: folder.path("out.gguf")) }
        #expect(
            reason?.hasPrefix("\(folder.path("v")): encoder.conv_in.weight has elements of type F8_E5M2; read are float16, ") == true,
            "\(reason ?? "accepted")")
    }

    @Test func outputsThatCannotBe() throws {
        let model = try SmallModel(), folder = try TemporaryFolder()
        let conversion = try model.conversion(folder)
        for (output, words) in [
            (conversion.transformer, "would replace the input"), (conversion.imageTokenizer, "would replace the input"),
            (conversion.textTokenizer, "would replace the input"), (folder.url.path, "is not a regular file"),
            (folder.path("missing/out.gguf"), "No such file"), ("/dev/null", "is not a regular file"),
            ("", "output \"\": is not the name of a file"),
            ("-", "output \"-\": is not the name of a file"), (folder.path("new") + "/", "is not the name of a file"),
            (folder.path(String(repeating: "m", count: 256)), "File name too long"),
            (folder.path("bpe.model/out.gguf"), "bpe.model/out.gguf: cannot create: Not a directory"),
        ] {
            let before = folder.contents
            let reason = failure { _ = try conversion.run(output: output) }
            #expect(reason?.contains(words) == true, "\(output): \(reason ?? "accepted")")
            #expect(folder.contents == before)
        }
    }
}
