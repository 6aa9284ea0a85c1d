"""The guard finds what tells who a patient is, in any dress, and leaves the clinic alone."""

from __future__ import annotations

import itertools
import time
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum.cn import ric

from medgemma_tui.clinical import tables
from medgemma_tui.clinical.deidentify import find_identifiers, mask
from medgemma_tui.clinical.findings import Identifier
from medgemma_tui.demo import corpus


def kinds(text: str) -> list[str]:
    return [found.kind for found in find_identifiers(text)]


def masked(text: str) -> str:
    return mask(text, find_identifiers(text))


# --- one of each, as people write them -------------------------------------------------------------------------------

MASKED = [
    ("姓名：张三", "姓名：[姓名]"),
    ("姓　名：张　三　　性别：男", "姓　名：[姓名]　　性别：男"),
    ("姓名：张三性别：男年龄：62岁", "姓名：[姓名]性别：男年龄：62岁"),
    ("姓名:阿依古丽 性别:女", "姓名:[姓名] 性别:女"),
    ("姓名：Zhang San，男", "姓名：[姓名]，男"),
    ("姓名\t张三\t性别\t男", "姓名\t[姓名]\t性别\t男"),
    ("患者姓名 欧阳修文 性别 男", "患者姓名 [姓名] 性别 男"),
    ("患者张三，男，62岁，因胸痛2小时入院", "患者[姓名]，男，62岁，因胸痛2小时入院"),
    ("患者张三因胸痛2小时入院", "患者[姓名]因胸痛2小时入院"),
    ("患者李明有高血压病史", "患者[姓名]有高血压病史"),
    ("患者高明，男，45岁", "患者[姓名]，男，45岁"),
    ("患者司马光明，女，45岁", "患者[姓名]，女，45岁"),
    ("患者阿依古丽·买买提，女，35岁", "患者[姓名]，女，35岁"),
    ("患者王先生，62岁", "患者[姓名]先生，62岁"),
    ("家属李四代诉病史", "家属[姓名]代诉病史"),
    ("联系人：妻子 王芳 13812345678", "联系人：妻子 [姓名] [电话]"),
    ("医师签名：李建国", "医师签名：[姓名]"),
    ("患者，张三，男，62岁", "患者，[姓名]，男，62岁"),
    ("张三，男，62岁，因胸痛入院", "[姓名]，男，62岁，因胸痛入院"),
    ("患者之子张伟代诉", "患者之子[姓名]代诉"),
    ("家属王女士", "家属[姓名]女士"),
    ("Name: John Smith", "Name: [name]"),
    ("The patient's name is John Smith.", "The patient's name is [name]."),
    ("Patient: Wang Wei, M/45", "Patient: [name], M/45"),
    ("John Smith is a 62-year-old man", "[name] is a 62-year-old man"),
    ("Mr J. Smith's potassium", "Mr [name]'s potassium"),
    ("patient John Smith (MRN 12345678) was admitted", "patient [name] (MRN [record number]) was admitted"),
    ("Patient: Mr. Smith, 62", "Patient: Mr. [name], 62"),
    ("Patient: Smith, 62-year-old man", "Patient: [name], 62-year-old man"),
    ("Patient name: SMITH, John  Age: 62", "Patient name: [name]  Age: 62"),
    ("patient name: john smith, age 62", "patient name: [name], age 62"),
    ("pt John Smith, 62 yo male with chest pain", "pt [name], 62 yo male with chest pain"),
    ("Patient Mary O'Neil-Brown is a 62-year-old", "Patient [name] is a 62-year-old"),
    ("身份证号：11010519491231002X", "身份证号：[身份证号]"),
    (
        "身份证号110105194912310022，男",
        "身份证号[身份证号]，男",
    ),  # a wrong check digit is still a number after its label
    ("11010519491231002x", "[身份证号]"),
    ("患者证件：１１０１０５１９４９１２３１００２Ｘ", "患者证件：[身份证号]"),
    ("身份证 110105 19491231 002X 62岁", "身份证 [身份证号] 62岁"),
    ("身份证号码：110105491231002", "身份证号码：[身份证号]"),
    ("护照号：E12345678", "护照号：[身份证号]"),
    ("医保卡号 A123456789", "医保卡号 [身份证号]"),
    ("Passport No. G12345678", "Passport No. [ID number]"),
    ("电话：138-1234-5678", "电话：[电话]"),
    ("13812345678", "[电话]"),
    ("联系方式 +86 138 1234 5678，胸痛", "联系方式 [电话]，胸痛"),
    ("家中电话 010-65251234 转 12", "家中电话 [电话]"),
    ("固话(0571)87654321", "固话[电话]"),
    ("电话：138 1234 5678/010-65251234", "电话：[电话]/[电话]"),
    ("tel:(010) 6525 1234", "tel:[phone]"),
    ("１３８－１２３４－５６７８", "[电话]"),
    ("手机１３８１２３４５６７８", "手机[电话]"),
    ("Tel: +44 20 7946 0958, chest pain", "Tel: [phone], chest pain"),
    ("Phone (555) 123-4567", "Phone [phone]"),
    ("住院号：ZY0012345，床号12", "住院号：[住院号]，床号12"),
    ("门诊号202311240056", "门诊号[住院号]"),
    ("病案号 00123456", "病案号 [住院号]"),
    ("MRN: 12345678, male", "MRN: [record number], male"),
    ("hospital no. A123456", "hospital no. [record number]"),
    ("住址：北京市朝阳区建国路88号，3单元502室，电话13812345678", "住址：[地址]，电话[电话]"),
    ("家住浙江省杭州市西湖区文三路100号，因胸痛", "家住[地址]，因胸痛"),
    ("患者住江苏省南通市如东县掘港镇友谊村3组，农民", "患者住[地址]，农民"),
    ("上海市黄浦区南京东路100弄5号602室", "[地址]"),
    ("内蒙古自治区呼和浩特市新城区新华大街1号", "[地址]"),
    ("杭州市西湖区三墩镇，胸痛", "[地址]，胸痛"),
    ("住址：上海市静安区延安西路221号 女 62岁 发热", "住址：[地址] 女 62岁 发热"),
    ("He lives at 10 Downing Street, London SW1A 2AA and works", "He lives at [address] and works"),
    ("地址：不在本市，人民路12号", "地址：[地址]，[地址]"),
    ("Address: 12 Baker Street, London NW1 6XE. Tel: 020 7946 0958", "Address: [address]. Tel: [phone]"),
    ("He lives at 221 Baker Street, with cough", "He lives at [address], with cough"),
    ("出生日期：1961-03-05，62岁", "出生日期：[出生日期]，62岁"),
    ("出生日期：1961年3月5日", "出生日期：[出生日期]"),
    ("生于一九六一年三月五日", "生于[出生日期]"),
    ("出生年月：1961年3月", "出生年月：[出生日期]"),
    ("患者1961年3月5日出生", "患者[出生日期]出生"),
    ("DOB: 05/03/1961 M", "DOB: [date of birth] M"),
    ("born on 5 March 1961, 62 years old", "born on [date of birth], 62 years old"),
    ("date of birth March 5, 1961", "date of birth [date of birth]"),
    ("邮箱 zhang.san@163.com", "邮箱 [邮箱]"),
    ("mail j.smith+x@example.co.uk.", "mail [email]."),
    ("微信号：zhangsan_88", "微信号：[邮箱]"),
    ("QQ：12345678", "QQ：[邮箱]"),
    # as they are copied from a ward's list, with the headings above
    (
        "姓名\t性别\t年龄\t住院号\n王秀兰\t女\t66岁\t00812345\n钱多多\t男\t5岁\t00812346",
        "姓名\t性别\t年龄\t住院号\n[姓名]\t女\t66岁\t[住院号]\n[姓名]\t男\t5岁\t[住院号]",
    ),
    (
        "| 姓名 | 性别 |\n|---|---|\n| 赵丽颖 | 女 |\n| 不详 | 女 |",
        "| 姓名 | 性别 |\n|---|---|\n| [姓名] | 女 |\n| 不详 | 女 |",
    ),
    ("姓名  年龄  住址\n张三  65  北京市朝阳区建国路88号", "姓名  年龄  住址\n[姓名]  65  [地址]"),
    ("Name | Age | MRN\nJohn Smith | 62 | 12345678", "Name | Age | MRN\n[name] | 62 | [record number]"),
    ("【姓名】张三 【性别】男 【住院号】0012345", "【姓名】[姓名] 【性别】男 【住院号】[住院号]"),
    ("姓名（Name）：张三", "姓名（Name）：[姓名]"),
    ("住院号（病案号）：123456", "住院号（病案号）：[住院号]"),
    ("联系人及电话：王强（儿子）13812345678", "联系人及电话：[姓名]（儿子）[电话]"),
    ("12床张国荣，男，56岁", "12床[姓名]，男，56岁"),
    ("5床吴秀珍血糖偏高", "5床[姓名]血糖偏高"),
    ("急诊分诊：徐志摩，男，36岁", "急诊分诊：[姓名]，男，36岁"),
    ("我是李娜，女，30岁，怀孕12周", "我是[姓名]，女，30岁，怀孕12周"),
    ("我妈妈叫刘桂芳，72岁", "我妈妈叫[姓名]，72岁"),
    ("我叫韩梅梅，最近总是头痛", "我叫[姓名]，最近总是头痛"),
    ("王先生，62岁", "[姓名]先生，62岁"),
    ("王阿姨，65岁", "[姓名]阿姨，65岁"),
    ("患者何建平于2023年5月1日突发", "患者[姓名]于2023年5月1日突发"),
    # surnames that are eponyms or words, too
    ("Name: Peter Wilson", "Name: [name]"),
    ("Mr Murphy has gout", "Mr [name] has gout"),
    ("Mrs Day and Mr Young", "Mrs [name] and Mr [name]"),
    ("Mr Wilson with Parkinson's disease", "Mr [name] with Parkinson's disease"),
    ("Peter Wilson is a 62-year-old man", "[name] is a 62-year-old man"),
    ("Re: Peter Wilson, DOB 12.04.1955", "Re: [name], DOB [date of birth]"),
    ("I reviewed Sarah Connor, 54F, in clinic today", "I reviewed [name], 54F, in clinic today"),
    ("this gentleman, Robert Brown, DOB 01/01/1950", "this gentleman, [name], DOB [date of birth]"),
    ("Pt: Roe, J. 55F", "Pt: [name] 55F"),
    ("DOB: March 1961", "DOB: [date of birth]"),
]


@pytest.mark.parametrize(("text", "expected"), MASKED)
def test_what_is_masked(text: str, expected: str) -> None:
    assert masked(text) == expected
    assert masked(expected) == expected


def test_spans_are_into_the_text_as_typed() -> None:
    text = "　患者张三，电话１３８１２３４５６７８。"
    for found in find_identifiers(text):
        assert text[slice(*found.span)] == found.text
    assert [found.text for found in find_identifiers(text)] == ["张三", "１３８１２３４５６７８"]


# --- what only looks like it -----------------------------------------------------------------------------------------

LOOK_ALIKES = """
Patient with Wilson disease
Name: Wilson disease
Name: Aspirin 100 mg
Patient: Graves Disease, 30F
Bell Palsy, 30F
Community Acquired Pneumonia, 70M
discussed Acute Kidney Injury, 65M
Dear Sir, 65M
South Asian, 45M
Patient: Recurrent UTIs, 65F
Cauda Equina, 45M
患者孙子陪同就诊
患者孙女5岁，体健
患者和奶奶同住
妈妈黄疸
爸爸高烧
爸爸马上要手术
奶奶常年咳嗽
我叫了救护车
叫做张力性气胸
5床 黄体酮
8床 向心性肥胖
12床 家属要求出院
民族：满族，男，50岁
水痘，男，5岁
诊断：白癜风，女，30岁
标本号 20231145678
检验号 12345678901
样本编号13812345678
条码号：13912345678
Specimen 13812345678
accession no. 13812345678
样本 23812345678，血钾 4.1 mmol/L
流水号 138 1234 5678
报告编号：202311240012345
批号 110105491231002
12345678901
心电图号 20231145678
国药准字H13812345678
PMID 13812345678
ICD-10 I21.9，ICD-11 BA41.Z
ICD-11 GB61.2&XS25
2023 ADA
KDIGO 2012，ESC 2019，2023 ADA
BP 165/95 mmHg，P 88次/分
尿量 150 1200 1500 ml
入量 138 1234 5678 ml
利伐沙班 15 mg qd，阿司匹林 100 mg
HbA1c 7.2%，LDL-C 1.8 mmol/L，NT-proBNP 13800 pg/mL
入院日期 2026-11-24
2023年11月24日行PCI
手术日期：2023-11-24 10:30
发病时间 2023年11月24日8时
生于1961年
born in 1961
患者男性，62岁
患者女，35岁
患者诉胸痛2小时
患者胸痛2小时
患者既往高血压病史10年
患者高血压10年
患者高热3天
患者黄疸，尿色深
患者白细胞升高
患者白蛋白，30 g/L
患者左侧肢体无力
患者平素体健
患者于昨日入院
患者周一入院
患者常于夜间发作
患者江苏人
患者曾有胸痛
患者明显消瘦
患者应激，安静休息
患者全身皮疹
患者万古霉素过敏
患者阿托品，0.5 mg
患者方便，无不适
患者王某，男
患者王…
患者张某某，62岁
患者发热·咳嗽·咳痰
患者NYHA III级，Killip II级
患者Child Pugh B级
患者COPD急性加重
姓名：不详
姓名：未知 性别：男
家属诉患者夜间呼吸困难
家属要求出院
医生：您好，请问哪里不舒服
Patient is a 62-year-old man
Patient: Male, 62
Patient: Chest Pain for 2 hours
Patient Health Questionnaire
Patient Safety Goals, 2023
PATIENT HAS CHEST PAIN
Patient with Heart Failure, 62
The patient, Alert and Oriented, denies pain
pt c/o SOB
drug name: Amoxicillin Capsules
MR Angiography
Mr. X
Name: unknown
Crohn disease, Child-Pugh B
Telmisartan 80 mg, cell count 1234567
住院2次，门诊随访
住院号不详
病历记录不全
床号 12
住址：不详
患者来自河南省农村
籍贯：山东
北京协和医院
北京市朝阳区疾控中心
上海交通大学医学院附属瑞金医院
建立静脉通路2号
12 lead ECG, 2 V1 St elevation
手机使用3小时后头痛
电话随访
QQ 病历
微信公众号
T 36.5℃, SpO2 98%, FiO2 0.21
eGFR 28 mL/min/1.73m²，CrCl 35 mL/min
NCT01234567
10.1056/NEJMoa2034577
高血压，男，62岁
黄疸，女，35岁
Chest Pain, 62M
Acute Pancreatitis, 45 y/o male
姓名是什么
联系人是否需要签字
样本ID：12345678
sample ID: 12345678
标本号ZY13812345678
身份证：110105********002X
出生体重3200g，出生20天
出生于河北省
患者居住在三楼，无电梯
住在养老院
家住农村
朝阳区三里屯街道社区卫生服务中心
沿静脉走向1号
1号染色体长臂
Patient is Alert, 62
ABG pH 7.25 PaCO2 60
13812345678abc
13812345678.5
138123456789
剂量 0.4 mg/kg，1-2-3 法
2024-01 版指南第 12345678 页
""".strip().splitlines()


@pytest.mark.parametrize("text", LOOK_ALIKES)
def test_clinical_look_alikes_do_not_fire(text: str) -> None:
    assert find_identifiers(text) == ()


def test_there_are_look_alikes_enough() -> None:
    assert len(set(LOOK_ALIKES)) >= 60


def test_nothing_fires_in_the_demo_corpus() -> None:
    fired = [
        (entry.id, found)
        for entry in corpus.entries()
        for turn in entry.turns
        for part in (turn.question, turn.reasoning, turn.answer)
        for found in find_identifiers(part)
    ]
    assert fired == []


# --- generated ones --------------------------------------------------------------------------------------------------

SURNAMES = "王李张刘陈杨赵吴周徐孙朱胡郭何林郑谢罗梁宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余杜叶程魏苏吕丁沈姚卢傅"
GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛超霞刚桂英兰红玉梅鑫浩宇轩梓涵欣怡子晨博雅雪婷婷志建国文斌晓东华"
NOT_GIVEN = {"国华", "文华", "文雅", "英国", "军国"}
BEFORE_ZH = ["", "胸痛2小时，", "既往高血压10年。", "血压165/95mmHg；", "【入院记录】\n", "心内科，"]
AFTER_ZH = ["", "，62岁", "。查体：T 36.5℃", "，因胸痛2小时入院", "\n主诉：反复胸闷3年", "；血肌酐 132 μmol/L"]
BEFORE_EN = ["", "Chest pain for 2 hours. ", "BP 165/95 mmHg; ", "Ward 3.\n"]
AFTER_EN = ["", ", 62 years old", "; creatinine 132 μmol/L", "\nTroponin 8.2 ng/mL", ", presented with dyspnoea"]
FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}


def dates() -> st.SearchStrategy[date]:
    return st.dates(date(1925, 1, 1), date(2023, 12, 28))


@st.composite
def chinese_names(draw: st.DrawFn) -> str:
    family = draw(st.sampled_from([*SURNAMES, "欧阳", "司马", "诸葛", "上官"]))
    given = "".join(draw(st.lists(st.sampled_from(GIVEN), min_size=2 if len(family) > 1 else 1, max_size=2)))
    return family + given if given not in NOT_GIVEN else family + "伟"


@st.composite
def identity_numbers(draw: st.DrawFn) -> str:
    region = draw(st.sampled_from(["110105", "310104", "440305", "510107", "652301", "230102"]))
    number = f"{region}{draw(dates()):%Y%m%d}{draw(st.integers(1, 999)):03}"
    number += ric.calc_check_digit(number + "0")
    gap = draw(st.sampled_from(["", "", " ", "-"]))
    number = gap.join([number[:6], number[6:14], number[14:]])
    return draw(st.sampled_from([number, number.lower(), number.translate(FULL_WIDTH)]))


@st.composite
def mobiles(draw: st.DrawFn) -> str:
    digits = f"1{draw(st.integers(3, 9))}{draw(st.integers(0, 999999999)):09}"
    gap = draw(st.sampled_from(["", "-", " "]))
    number = draw(st.sampled_from(["", "+86 ", "+86", "86-"])) + gap.join([digits[:3], digits[3:7], digits[7:]])
    return draw(st.sampled_from([number, number.translate(FULL_WIDTH)]))


@st.composite
def planted(draw: st.DrawFn) -> tuple[str, str, str]:
    """A text, the kind that was planted in it, and the very letters that must be found."""
    zh = draw(st.booleans())
    colon = draw(st.sampled_from(["：", ":", "： ", "： "] if zh else [": ", ":"]))
    kind = draw(st.sampled_from(["name", "id_number", "phone", "record_number", "address", "birth_date", "email"]))
    if kind == "name":
        if zh:
            value = draw(
                st.one_of(chinese_names(), st.sampled_from(["阿依古丽·买买提", "古丽娜尔•热合曼", "扎西·次仁"]))
            )
            label = draw(
                st.sampled_from(["姓名" + colon, "患者姓名" + colon, "患者", "患者：", "联系人" + colon, "家属"])
            )
        else:
            first, last = (
                st.sampled_from(["John", "Mary", "Wei", "Ahmed"]),
                st.sampled_from(["Smith", "O'Neil", "Zhang", "García"]),
            )
            value = f"{draw(first)} {draw(last)}"
            label = draw(
                st.sampled_from(
                    ["Name" + colon, "Patient name" + colon, "Patient" + colon, "Patient ", "pt ", "NAME" + colon]
                )
            )
    elif kind == "id_number":
        value, label = (
            draw(identity_numbers()),
            draw(st.sampled_from(["", "身份证号" + colon, "身份证"] if zh else ["", "ID number" + colon])),
        )
    elif kind == "phone":
        value, label = (
            draw(mobiles()),
            draw(
                st.sampled_from(
                    ["", "电话" + colon, "手机号", "联系电话 "] if zh else ["Tel" + colon, "Mobile" + colon, ""]
                )
            ),
        )
    elif kind == "record_number":
        value = draw(st.sampled_from(["", "ZY", "A"])) + str(draw(st.integers(10000, 9999999999)))
        label = draw(
            st.sampled_from(
                ["住院号" + colon, "门诊号", "病案号 ", "病历号" + colon, "就诊号"]
                if zh
                else ["MRN" + colon, "MRN ", "Hospital no. "]
            )
        )
    elif kind == "address":
        number = draw(st.integers(1, 999))
        if zh:
            value = (
                draw(
                    st.sampled_from(
                        [
                            "北京市朝阳区建国路",
                            "浙江省杭州市西湖区文三路",
                            "广东省广州市天河区体育西路",
                            "西安市雁塔区科技路",
                        ]
                    )
                )
                + f"{number}号"
            )
            label = draw(st.sampled_from(["", "住址" + colon, "家住", "现住址" + colon]))
        else:
            street, way = (
                st.sampled_from(["Baker", "Long Acre", "Maple"]),
                st.sampled_from(["Street", "Road", "Avenue"]),
            )
            value = f"{number} {draw(street)} {draw(way)}"
            label = draw(st.sampled_from(["", "lives at ", "Address" + colon]))
    elif kind == "birth_date":
        day = draw(dates())
        if zh:
            value = draw(
                st.sampled_from(
                    [f"{day:%Y-%m-%d}", f"{day.year}年{day.month}月{day.day}日", f"{day:%Y/%m/%d}", f"{day:%Y%m%d}"]
                )
            )
            value = draw(st.sampled_from([value, value.translate(FULL_WIDTH)]))
            label = draw(st.sampled_from(["出生日期" + colon, "生于", "出生日期", "出生年月日" + colon]))
        else:
            value = draw(
                st.sampled_from(
                    [f"{day:%Y-%m-%d}", f"{day:%d/%m/%Y}", f"{day:%d %B %Y}", f"{day:%B %d, %Y}", f"{day:%d-%b-%Y}"]
                )
            )
            label = draw(st.sampled_from(["DOB" + colon, "Date of birth" + colon, "born on "]))
    else:
        user = draw(st.text("abcdefghij0123456789._-", min_size=1, max_size=12).filter(lambda text: text[0].isalnum()))
        value, label = (
            f"{user}@{draw(st.sampled_from(['163.com', 'qq.com', 'example.co.uk']))}",
            "邮箱：" if zh else "e-mail ",
        )
    before = draw(st.sampled_from(BEFORE_ZH if zh else BEFORE_EN))
    after = draw(st.sampled_from(AFTER_ZH if zh else AFTER_EN))
    return f"{before}{label}{value}{after}", kind, value


@settings(max_examples=300, deadline=None)
@given(planted())
def test_every_planted_identifier_is_found_exactly(case: tuple[str, str, str]) -> None:
    text, kind, value = case
    assert [(found.kind, found.text) for found in find_identifiers(text)] == [(kind, value)]
    hidden = masked(text)
    assert value not in hidden
    before, after = text.split(value, 1)
    assert hidden.startswith(before)
    assert hidden.endswith(after)
    assert find_identifiers(hidden) == ()
    assert hidden.count("[") - text.count("[") == 1


@settings(max_examples=100, deadline=None)
@given(st.lists(planted(), min_size=2, max_size=5))
def test_several_in_one_note_are_all_masked(cases: list[tuple[str, str, str]]) -> None:
    text = "\n".join(case[0] for case in cases)
    hidden = masked(text)
    assert [found.text for found in find_identifiers(text)] == [value for _, _, value in cases]
    assert masked(hidden) == hidden


@settings(max_examples=200, deadline=None)
@given(
    st.text(
        st.sampled_from("患者姓名张三李：: ,，。男女住院号电话0123456789xX-@.市区路号村 \n[]Patient Name: Mr Smith")
    )
)
def test_any_text_keeps_its_other_letters_and_is_masked_once(text: str) -> None:
    found = find_identifiers(text)
    assert all(text[slice(*item.span)] == item.text for item in found)
    assert all(one.span[1] <= other.span[0] for one, other in itertools.pairwise(found))
    rest, at = "", 0
    for item in found:
        rest, at = rest + text[at : item.span[0]], item.span[1]
    hidden = masked(text)
    for item in found:
        hidden = hidden.replace(item.mask, "", 1)
    assert len(hidden) == len(rest + text[at:])


PIECES = [
    *(
        "患者",
        "姓名：",
        "张三",
        "李四",
        "王先生",
        "，男，62岁",
        "，",
        "\n",
        "电话",
        "13812345678",
        "010-65251234",
        "住院号",
        "ZY00123",
    ),
    *(
        "身份证号：",
        "11010519491231002X",
        "住址：",
        "家住",
        "北京市朝阳区建国路88号",
        "人民路12号",
        "出生日期",
        "1961-03-05",
        "出生",
    ),
    *(
        "Name: ",
        "Patient: ",
        "Mr. ",
        "John Smith",
        "DOB: ",
        "MRN ",
        "12345678",
        "Tel: ",
        "a@b.com",
        "胸痛",
        "联系人",
        "妻子",
    ),
    *("[姓名]", "微信", "Address: ", "标本号", "因", "入院", "10", "·", "某", "：", "(", ")", "医师：", " "),
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=9))
def test_what_is_masked_has_nothing_left_however_words_run_together(pieces: list[str]) -> None:
    hidden = masked("".join(pieces))
    assert find_identifiers(hidden) == ()


def test_a_finding_of_another_text_masks_nothing() -> None:
    stray = Identifier("name", "张三", (0, 2), "[姓名]")
    assert mask("李四，男", (stray,)) == "李四，男"


# --- the site's list, speed, hostile texts ---------------------------------------------------------------------------


def test_a_site_adds_its_own_label(tmp_path) -> None:  # type: ignore[no-untyped-def]
    head = 'source = "ward"\nreviewer = "ward"\n'
    row = '[[label]]\nkind = "record_number"\nlabels = ["康复号"]\n'
    (tmp_path / "identifiers.toml").write_text(head + row, "utf-8")
    assert kinds("康复号：A00123") == []
    tables.use_site_directory(tmp_path)
    try:
        assert kinds("康复号：A00123") == ["record_number"]
        (tmp_path / "identifiers.toml").write_text(head + '[[label]]\nkind = "shoe"\nlabels = ["x"]\n', "utf-8")
        tables.use_site_directory(None)
        tables.use_site_directory(tmp_path)
        with pytest.raises(tables.TableError, match="shoe"):
            find_identifiers("x")
    finally:
        tables.use_site_directory(None)


NOTE = (
    "患者张三，男，62岁，因“反复胸闷、气短3年，加重伴双下肢水肿1周”入院。既往高血压病史10年，最高血压165/95mmHg，"
    "口服氨氯地平5mg qd。查体：T 36.5℃，P 88次/分，BP 150/90mmHg。血肌酐132μmol/L，K 4.1mmol/L。"
    "住院期间监测电解质、肾功能，心电图示窦性心律，超声LVEF 45%。"
)


def best_of(times: int, text: str) -> float:
    find_identifiers(text)
    taken = []
    for _ in range(times):
        begin = time.process_time()
        find_identifiers(text)
        taken.append(time.process_time() - begin)
    return min(taken)


def test_a_long_note_takes_milliseconds() -> None:
    assert best_of(5, (NOTE * 40)[:4000]) < 0.03  # 4 ms where nothing else runs


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "1",
            "省",
            "北京",
            "1 ",
            "a",
            "@",
            "a@",
            "患者",
            "患者张",
            "路1号",
            "镇",
            "市区",
            "Mr A ",
            "Patient A",
            "姓名\t性别\n",
            "a\tb|c  d\n",
            "\t",
            "| ",
            "12床",
            ",男5岁",
            "王阿姨",
            "+1",
            "姓名：",
        ),
        *("地址：", " ", "姓 ", "-", "先生", "0-", "(0", "·", "张·", "A ", "1234567890 Aa ", "出生", "a.", "13", "\n"),
    ],
)
def test_hostile_texts_take_linear_time(unit: str) -> None:
    begin = time.process_time()
    find_identifiers(unit * (60_000 // len(unit)))
    assert time.process_time() - begin < 4
