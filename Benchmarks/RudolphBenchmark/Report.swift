import CKernels
import CPlatform
import Rudolph

/// The figures of a run, as a table or as JSON.
struct Report {
    let stages: Stages
    let limits: Limits
    let threads: Int

    private struct Line {
        let stage: Stage
        let median, best: Double
        /// Tokens of one run of the stage, 0 where there are none.
        let tokens: Int
        /// Bytes read, products of integer matrices: of one run of the stage, 0 where they are not the limit.
        let bytes, products: Double
    }

    private var lines: [Line] {
        let configuration = stages.model.configuration
        let summary = stages.model.summary(threads: threads, keyValueFormat: stages.keyValueFormat)
        func part(_ name: String) -> ModelSummary.Part? { summary.parts.first { $0.name == name } }
        let layers = part("layers")
        // Of the head, only the rows that a text can come from.
        let textRows = configuration.textRows - configuration.leftTextLength
        let share = Double(textRows) / Double(configuration.textRows + configuration.imageRows)
        let headBytes = Double(part("head")?.bytes ?? 0) * share
        let layerBytes = Double(layers?.bytes ?? 0)
        let layerProducts = Double(layers?.weights ?? 0)
        // Keys and values of one position.
        let position = Double(summary.cacheBytes) / Double(configuration.sequenceLength)
        let prompt = configuration.rightTextStart + 2

        return Stage.allCases.compactMap { stage in
            guard let seconds = stages.seconds[stage]?.sorted(), let best = seconds.first else { return nil }
            let median = seconds[seconds.count / 2]
            func line(_ tokens: Int, bytes: Double = 0, products: Double = 0) -> Line {
                Line(stage: stage, median: median, best: best, tokens: tokens, bytes: bytes, products: products)
            }
            switch stage {
            case .open, .encode, .decode, .caption: return line(0)
            case .leftText: return line(configuration.leftTextLength, products: layerProducts * Double(configuration.leftTextLength))
            case .image: return line(configuration.imageLength + 2, products: layerProducts * Double(configuration.imageLength + 2))
            case .shallow: return line(1, bytes: layerBytes + headBytes)
            case .deep: return line(1, bytes: layerBytes + headBytes + Double(prompt) * position)
            case .eight: return line(8, bytes: layerBytes + headBytes + Double(prompt) * position)
            case .many: return line(48, products: 48 * layerProducts)
            case .draw: return line(configuration.imageLength)
            }
        }
    }

    private func rounded(_ value: Double, _ places: Int) -> String {
        var scale = 1.0
        for _ in 0..<places { scale *= 10 }
        let scaled = (value * scale).rounded()
        guard scaled.isFinite, scaled.magnitude < 1e15 else { return "-" }
        let whole = Int(scaled.magnitude)
        let digits = String(whole % Int(scale))
        let fraction = places == 0 ? "" : "." + String(repeating: "0", count: places - digits.count) + digits
        return (scaled < 0 ? "-" : "") + String(whole / Int(scale)) + fraction
    }

    private func limit(_ line: Line) -> (name: String, fraction: Double)? {
        if line.products > 0, stages.model.weightType.isInteger, limits.int8 > 0 {
            return ("multiplier", line.products / line.median / limits.int8)
        }
        if line.products > 0, limits.float > 0 { return ("multiplier", line.products / line.median / limits.float) }
        if line.bytes > 0, limits.read > 0 { return ("memory", line.bytes / line.median / limits.read) }
        return nil
    }

    var table: String {
        func row(_ cells: [String]) -> String {
            var text = ""
            for (index, cell) in cells.enumerated() {
                let width = index == 0 ? 28 : 12
                let padding = String(repeating: " ", count: max(0, width - cell.count))
                text += index == 0 ? cell + padding : padding + cell
            }
            return text
        }
        var rows = [
            "\(stages.path): \(stages.model.name), \(stages.model.weightType.name), \(threads) threads, "
                + "\(String(cString: rk_cpu_name(rk_cpu_features()))) kernels",
            "machine: read \(rounded(limits.read * 1e-9, 1)) GB/s, int8 \(rounded(limits.int8 * 1e-9, 0)) and f32 "
                + "\(rounded(limits.float * 1e-9, 0)) GMAC/s"
                + (limits.roundTrip > 0 ? ", a line to another core and back \(rounded(limits.roundTrip * 1e9, 0)) ns" : ""),
            row(["", "median ms", "best ms", "tokens/s", "of limit"]),
        ]
        for line in lines {
            let limit = limit(line).map { rounded(100 * $0.fraction, 0) + " % " + ($0.name == "memory" ? "mem" : "mul") }
            rows.append(
                row([
                    line.stage.rawValue, rounded(1e3 * line.median, 2), rounded(1e3 * line.best, 2),
                    line.tokens > 0 ? rounded(Double(line.tokens) / line.median, 1) : "", limit ?? "",
                ]))
        }
        rows.append(row(["peak memory, captions", rounded(Double(stages.captionPeak) / 1_048_576, 0) + " MiB"]))
        return rows.joined(separator: "\n")
    }

    var json: String {
        func quoted(_ text: String) -> String {
            "\"" + text.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : String($0) }.joined() + "\""
        }
        let entries = lines.map { line in
            var fields = [
                "\"median_ms\": \(rounded(1e3 * line.median, 4))", "\"best_ms\": \(rounded(1e3 * line.best, 4))",
            ]
            if line.tokens > 0 { fields.append("\"tokens_per_second\": \(rounded(Double(line.tokens) / line.median, 2))") }
            if let limit = limit(line) { fields.append("\"limit\": \(quoted(limit.name)), \"of_limit\": \(rounded(limit.fraction, 4))") }
            return "\(quoted(line.stage.rawValue)): {\(fields.joined(separator: ", "))}"
        }
        return """
            {"model": \(quoted(stages.model.name)), "weights": \(quoted(stages.model.weightType.name)), "threads": \(threads), \
            "kernels": \(quoted(String(cString: rk_cpu_name(rk_cpu_features())))), \
            "machine": {"read_bytes_per_second": \(rounded(limits.read, 0)), "int8_products_per_second": \(rounded(limits.int8, 0)), \
            "f32_products_per_second": \(rounded(limits.float, 0)), \
            "core_round_trip_seconds": \(rounded(limits.roundTrip, 12))}, \
            "peak_memory_bytes": \(stages.captionPeak), "stages": {\(entries.joined(separator: ", "))}}
            """
    }
}
