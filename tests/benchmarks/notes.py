"""Dense notes of 4,000 characters, such as nobody writes: the most that is ever to be found in a note that long."""

from __future__ import annotations

_ZH = (
    "患者张伟，男，78岁，因“胸痛3小时”入院。既往高血压病史10年，2型糖尿病5年，否认心梗、房颤史，否认药物过敏史。"
    "查体：T 36.8℃，P 88次/分，R 20次/分，BP 165/95mmHg，SpO2 96%。双肺未闻及干湿性啰音，双下肢无水肿。"
    "辅助检查：血肌酐 132 μmol/L，血钾 4.1 mmol/L，WBC 11.2×10⁹/L，cTnI 2.3 ng/mL，NT-proBNP 3200 pg/mL，"
    "HbA1c 8.2%，eGFR 45 mL/min。心电图示V1–V4导联ST段抬高。目前服用利伐沙班15mg qd，阿司匹林100mg qd，"
    "氯吡格雷75mg qd，二甲双胍0.5g tid。诊断：急性前壁心梗，慢性肾脏病3b期，不能排除肺栓塞，父亲有脑梗史。如何治疗？"
)
_EN = (
    "A 78-year-old man with hypertension and type 2 diabetes presented with chest pain for 3 hours. He denies "
    "prior MI, stroke or atrial fibrillation; no known drug allergies. On exam T 36.8 C, HR 88 bpm, RR 20, BP "
    "165/95 mmHg, SpO2 96%. Labs: creatinine 1.5 mg/dL, K 4.1 mmol/L, WBC 11.2, troponin I 2.3 ng/mL, NT-proBNP "
    "3200 pg/mL, HbA1c 8.2%, eGFR 45 mL/min. ECG shows ST elevation in V1-V4. He takes rivaroxaban 15 mg qd, "
    "aspirin 100 mg daily, clopidogrel 75 mg daily and metformin 500 mg bid. Impression: acute anterior STEMI, "
    "CKD stage 3b; PE cannot be ruled out; father had a stroke. How should he be treated? "
)
_LABS = (
    "白细胞计数 11.2 10^9/L 3.5-9.5 ↑\n红细胞计数 4.52 10^12/L 4.3-5.8\n血红蛋白 132 g/L 130-175\n"
    "血小板 215 10^9/L 125-350\n谷丙转氨酶 45 U/L 9-50\n谷草转氨酶 38 U/L 15-40\n总胆红素 15.2 μmol/L 0-26\n"
    "白蛋白 38.5 g/L 40-55 ↓\n肌酐 132 μmol/L 57-111 ↑\n尿素 8.9 mmol/L 3.6-9.5\n尿酸 420 μmol/L 208-428\n"
    "血钾 4.1 mmol/L 3.5-5.3\n血钠 138 mmol/L 137-147\n血糖 7.8 mmol/L 3.9-6.1 ↑\n糖化血红蛋白 8.2% 4-6 ↑\n"
    "肌钙蛋白I 2.3 ng/mL 0-0.04 ↑\nD-二聚体 0.8 mg/L 0-0.5\nPT 12.1 s\nINR 1.1\nCRP 35 mg/L\nPCT 0.25 ng/mL\n"
)


def _filled(text: str) -> str:
    return (text * (4000 // len(text) + 1))[:4000]


NOTES = {"zh": _filled(_ZH), "en": _filled(_EN), "mixed": _filled(_ZH[:200] + _EN[:300]), "labs": _filled(_LABS)}
REASONING = (
    "1. KDIGO 2012 给出界限，eGFR 45 为 G3a。\n2. 可能需要减量，证据等级 IIa。\n3. 建议利伐沙班 15 mg 每日一次。\n"
)
ANSWER = (
    "## 定义\n慢性肾脏病 3a 期。\n## 机制\n肾小球滤过下降 → 药物蓄积。\n"
    "## 建议\n建议利伐沙班 15 mg 每日一次，复查 HbA1c。\n"
)
