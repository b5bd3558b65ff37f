import Converters
import Foundation
import Rudolph

/// Converts the demo checkpoint to every weight type, measures each with both formats of keys and values, int8 with other activations, int8 and int4
/// without calibration as well, then the image tokenizer, which is the same in all of them, with each arithmetic, and prints the tables of
/// Docs/QUALITY.md: `swift run -c release rudolph-quality`. Names of columns after it leave out all others.
@main
struct RudolphQuality {
    static func main() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "rudolph-quality-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let pictures = try Reference.emoji()
        let exact = try Session(try Model(path: try DemoModel(.f32, in: folder).path))
        var variants: [(name: String, model: DemoModel, precision: ActivationPrecision?, cache: KeyValueFormat)] = []
        for type in [WeightType.f16, .int8, .int4] {
            let model = try DemoModel(type, in: folder)
            for cache in KeyValueFormat.allCases {
                variants.append((cache == .standard(for: type) ? type.name : "\(type.name), \(cache.name) cache", model, nil, cache))
            }
            guard type == .int8 else { continue }
            for precision in ActivationPrecision.allCases where precision != .standard {
                variants.append(("int8, \(precision.name) activations", model, precision, .standard(for: type)))
            }
        }
        for type in [WeightType.int8, .int4] {
            variants.append(("\(type.name), not calibrated", try DemoModel(type, isCalibrated: false, in: folder), nil, .standard(for: type)))
        }
        let wanted = CommandLine.arguments.dropFirst()
        if !wanted.isEmpty { variants.removeAll { !wanted.contains($0.name) } }
        var columns: [[String]] = []
        for (name, model, precision, cache) in variants {
            let session = try Session(try Model(path: model.path), precision: precision, keyValueFormat: cache)
            let quality = try Quality(session, pictures) { index in
                guard isatty(STDERR_FILENO) != 0 else { return }
                FileHandle.standardError.write(Data("\r\(name): \(index + 1) of \(pictures.count) pictures".utf8))
            }
            if isatty(STDERR_FILENO) != 0 { FileHandle.standardError.write(Data("\n".utf8)) }
            columns.append(cells(quality, try Divergence(of: session, from: exact, pictures), model.report))
        }
        print("| | " + variants.map(\.name).joined(separator: " | ") + " |")
        print("|---|" + variants.map { _ in "---:|" }.joined())
        for (row, title) in titles.enumerated() {
            print("| \(title) | " + columns.map { $0[row] }.joined(separator: " | ") + " |")
        }
        guard wanted.isEmpty else { return }
        print()
        try printImageTokenizer(variants[0].model, pictures)
    }

    static func printImageTokenizer(_ model: DemoModel, _ pictures: [Reference.Emoji]) throws {
        let decoded = try Reference.decoded()
        print("| arithmetic | image tokens that are the reference's | decoded pictures: PSNR to the reference's | largest difference, of 255 |")
        print("|---|---:|---:|---:|")
        for arithmetic in ImageArithmetic.allCases {
            let quality = try ImageQuality(try Session(try Model(path: model.path), imageArithmetic: arithmetic), pictures, decoded)
            print(
                "| \(arithmetic.name) | \(share(quality.tokens, digits: 2)) | \(String(format: "%.1f dB", quality.decodedPSNR)) "
                    + "| \(quality.decodedDifference) |")
        }
    }

    static let titles = [
        "captions identical to the reference's", "the same, with the template", "right captions, pictures seen in training",
        "right captions, held-out pictures", "right of \(Quality.classes) classes, pictures seen in training",
        "right of \(Quality.classes) classes, held-out pictures", "KL divergence from f32, nats a token of a caption",
        "KL divergence from f32, nats an image token", "file", "bits per weight",
    ]

    static func share(_ share: Quality.Share, digits: Int = 1) -> String {
        String(format: "%.\(digits)f %% (%d of %d)", share.percent, share.hits, share.total)
    }

    static func cells(_ quality: Quality, _ divergence: Divergence, _ report: Conversion.Report) -> [String] {
        return [
            share(quality.identical), share(quality.identicalWithTemplate), share(quality.accuracyTrain), share(quality.accuracyHeldOut),
            share(quality.classifiedTrain), share(quality.classifiedHeldOut), String(format: "%.5f", divergence.text),
            String(format: "%.5f", divergence.image), String(format: "%.2f MB", Double(report.fileSize) / 1e6),
            String(format: "%.2f", report.bitsPerWeight),
        ]
    }
}
